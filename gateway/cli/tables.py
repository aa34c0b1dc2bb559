"""Tables on a terminal, which programs can read as lines of columns when the output is piped."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

import typer

from gateway.observability.terminal import BOLD, cell_width, cut, has_color, paint

_UNLIMITED_WIDTH = 1_000_000
"""Columns of a piped table: nothing is wrapped, so that each row is one line."""


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns; the first column is never wrapped.

    On a terminal there is a line of headings, and long cells are wrapped. Piped, each row is one line of plain text
    with at least two spaces between the cells. Nothing is ever truncated.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, one line each: on a terminal, long cells are cut; in a pipe, they are whole.

    The first column is never cut: it is to be copied.
    """
    if not sys.stdout.isatty():
        print_table(headings, rows)
        return
    columns = shutil.get_terminal_size().columns
    widths = [max(map(cell_width, column)) for column in zip(headings, *rows, strict=True)]
    for place in range(1, len(widths) - 1):
        widths[place] = min(widths[place], columns // (len(widths) + 1))
    widths[-1] = max(columns - sum(widths[:-1]) - 2 * (len(widths) - 1), 1)
    for number, row in enumerate((headings, *rows)):
        cells = [row[0], *(cut(cell, width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        padded = (cell + " " * (width - cell_width(cell)) for cell, width in zip(cells, widths, strict=True))
        line = "  ".join(padded).rstrip()
        typer.echo(paint(line, BOLD) if number == 0 and has_color(sys.stdout) else line)
