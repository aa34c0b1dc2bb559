"""How raw files get into a journal: a batch of entries and the positions behind it, in one transaction.

An interruption at any moment leaves both or neither, so that no entry is added twice and none is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from gateway.journal import Journal
from gateway.journal.entry import Entry


class Position(NamedTuple):
    """How far a raw file has been indexed.

    Attributes:
        inode: The file's number in its file system, which tells it from a later file of the same name.
        offset: Bytes that are indexed.
    """

    inode: int
    offset: int


Positions: TypeAlias = Mapping[str, Position]
"""The position in each raw file, by its name without the extension."""


class Batch(NamedTuple):
    """What a transaction adds.

    Attributes:
        entries: The entries.
        positions: The positions behind them, of the files that were read.
        unreadable: Lines among them that are no entries.
        gone: Names of files that were deleted, whose positions are needed no more.
    """

    entries: Sequence[Entry]
    positions: Positions
    unreadable: int = 0
    gone: Sequence[str] = ()


@runtime_checkable
class Intake(Journal, Protocol):
    """A journal that can be filled from raw files."""

    def take(self, read: Callable[[Positions], Batch]) -> Batch:
        """Call ``read`` with the committed positions, and commit what it returns; return that.

        Raises:
            OSError: The journal cannot be written; nothing of the batch was committed.
        """

    def sealed_positions(self) -> Positions:
        """Return positions up to which entries are safe even if the file that is being written became corrupt."""

    def close_full(self, now: float) -> bool:
        """Seal what is full or old; return whether something was sealed."""
