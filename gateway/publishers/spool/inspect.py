"""Read a spool without changing it, whether a gateway owns it or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.publishers.spool.records import COLUMNS, CorruptRow, SpooledMessage, decode, totals

_BATCH_SIZE = 100
"""Rows read at once. Between two batches the gateway can checkpoint its WAL, which a long read would prevent."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The contents of a spool in figures.

    Attributes:
        events: The number of events that wait.
        size: The size of all rows in bytes, those that were set aside included, as it counts against the limit.
        oldest_at: When the oldest was accepted, in Unix seconds; None if there is no event, or it cannot be read.
        corrupt: The number of rows that were set aside.
    """

    events: int
    size: int
    oldest_at: float | None
    corrupt: int


def summarize(path: Path) -> Summary:
    """Count what is in the spool at ``path``.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    with closing(_open(path)) as connection:
        events, size, corrupt = totals(connection)
    oldest = next(events_in(path), None)
    return Summary(
        events,
        size,
        oldest.spooled_at if isinstance(oldest, SpooledMessage) else None,
        corrupt,
    )


def events_in(path: Path) -> Iterator[SpooledMessage | CorruptRow]:
    """Yield the events in the spool at ``path``, oldest first; for a damaged row, its error.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    for row in _rows(path, f"SELECT {COLUMNS} FROM spool WHERE id > ? ORDER BY id LIMIT ?"):  # noqa: S608 -- ours
        try:
            yield decode(row)
        except CorruptRow as error:
            yield CorruptRow(f"row {row[0]} {error}")


def corrupt_rows_in(path: Path) -> Iterator[tuple[int, Any, Any, str, float]]:
    """Yield id, head, body, reason and time (Unix seconds) of each row that was set aside.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    return _rows(
        path,
        "SELECT id, CAST(head AS BLOB), CAST(body AS BLOB), reason, found_at FROM corrupt"
        " WHERE id > ? ORDER BY id LIMIT ?",
    )


def faults_of_file(path: Path) -> list[str]:
    """Return what SQLite's integrity check finds wrong with the file; empty if it finds nothing.

    Raises:
        sqlite3.Error: The file cannot be read at all.
    """
    with closing(_open(path)) as connection:
        found = [text for (text,) in connection.execute("PRAGMA integrity_check(10)")]
    return [] if found == ["ok"] else found


def _rows(path: Path, query: str) -> Iterator[Any]:
    last = 0
    with closing(_open(path)) as connection:
        while rows := connection.execute(query, (last, _BATCH_SIZE)).fetchall():
            yield from rows
            last = rows[-1][0]


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10, isolation_level=None)
