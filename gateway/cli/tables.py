"""Tables on a terminal, which programs can read as lines of columns when the output is piped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNLIMITED_WIDTH = 1_000_000
"""Columns of a piped table: nothing is wrapped, so that each row is one line."""


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns; the first column is never wrapped.

    On a terminal there is a line of headings, and long cells are wrapped. Piped, each row is one line of plain text
    with at least two spaces between the cells. Nothing is ever truncated.
    """
    is_terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=is_terminal)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # as text: rich would take [...] for markup
    console = Console(
        width=None if is_terminal else _UNLIMITED_WIDTH, color_system="auto" if is_terminal else None
    )
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())
