"""A table of the results, before it is known where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

NOTHING = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Grid:
    """The table; `note` says under it what it needs to be understood."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def on_screen(self) -> Table:
        """As rich draws it."""
        table = Table(
            title=self.title,
            title_justify="left",
            caption=self.note.replace("\n", " ") or None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def in_markdown(self) -> str:
        """As Markdown."""
        ruler = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in (self.columns, ruler, *self.rows)]
        return "\n".join([f"## {self.title}", "", *lines, *(["", self.note] if self.note else [])])


def mebibytes(size: int) -> str:
    """A size in bytes as a cell."""
    return f"{size / 2**20:.1f}"


def judged(value: float, limit: float) -> tuple[str, str]:
    """The last two cells of a row: the limit, and whether `value` is within it."""
    return f"{limit:g}", "yes" if value <= limit else "NO"
