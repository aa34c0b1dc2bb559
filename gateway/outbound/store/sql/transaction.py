"""One transaction of a database, with a name for each thing that SQLite and PostgreSQL say differently."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol


class Transaction(Protocol):
    """A transaction. In statements ``?`` stands for a parameter.

    Attributes:
        types: The words of this database in the statements that make tables.
        for_update: The end of a query whose rows nobody else may change before the commit.
    """

    types: ClassVar[dict[str, str]]
    for_update: ClassVar[str]

    def now(self) -> float:
        """Return the database's clock in Unix seconds."""

    def has_table(self, name: str) -> bool:
        """Return whether there is a table."""

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

    def run(self, statement: str, *parameters: Any) -> int:
        """Run a statement, and return how many rows it changed."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows, but none whose id, the first column, is there already."""

    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> set[str]:
        """Add rows as :meth:`insert` does, and return the ids of those that were added."""

    def update(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Change rows by their id, which is the first column; no id may be there twice."""

    def update_pending(
        self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], rounds: Sequence[int]
    ) -> set[str]:
        """Change deliveries by their id, the first column, and return the ids of those that were changed.

        Only those are that are pending in the round beside them. One that is pending afterwards keeps its ``ready``, and
        each of the others loses it.
        """

    def among(self, column: str) -> str:
        """Return the condition that a column has one of the values of a parameter; see :meth:`values`."""

    def values(self, values: Iterable[str]) -> object:
        """Return the parameter of :meth:`among`."""

    def matching(self, column: str) -> str:
        """Return the condition that a routing key matches one of the patterns of a parameter; see :meth:`patterns`."""

    def patterns(self, patterns: Iterable[str]) -> object:
        """Return the parameter of :meth:`matching`."""

    def lock(self, name: str, numbers: Iterable[int] = (0,), *, shared: bool = False) -> None:
        """Lock numbers of a name until the commit, and wait for those that have locked them.

        Shared locks wait for exclusive ones alone. The names are locked in this order: ``migrate``, ``endpoints``,
        ``leases``, ``messages``, ``order``.
        """

    def make_room(self, attempts: Iterable[str]) -> None:
        """Make the partitions for attempts with these ids, where the database has partitions."""

    def drop_attempts(self, before: float, limit: int) -> int:
        """Delete up to ``limit`` attempts that began before a moment, or whole partitions; return how many."""
