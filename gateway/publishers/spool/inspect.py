"""Looking into a spool without changing it, beside the gateway that owns it or without one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.publishers.spool.records import COLUMNS, OVERHEAD, CorruptRow, SpooledMessage, decode

_AT_ONCE = 100  # rows; between them the gateway is free to tidy its log up


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a spool.

    Attributes:
        events: how many wait.
        size: their bytes, as they are counted against the limit.
        oldest_at: since when the oldest waits, in Unix seconds; None when none does or it cannot be read.
        corrupt: how many rows were set aside.
    """

    events: int
    size: int
    oldest_at: float | None
    corrupt: int


def summarize(path: Path) -> Summary:
    """What is in the spool at ``path``.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with closing(_open(path)) as connection:
        events, size = connection.execute("SELECT COUNT(*), TOTAL(LENGTH(body)) FROM spool").fetchone()
        (corrupt,) = connection.execute("SELECT COUNT(*) FROM corrupt").fetchone()
    oldest = next(events_in(path), None)
    return Summary(
        events,
        int(size) + events * OVERHEAD,
        oldest.spooled_at if isinstance(oldest, SpooledMessage) else None,
        corrupt,
    )


def events_in(path: Path) -> Iterator[SpooledMessage | CorruptRow]:
    """What waits in the spool at ``path``, oldest first, with an error in the place of each row that is damaged.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    for row in _rows(path, f"SELECT {COLUMNS} FROM spool WHERE id > ? ORDER BY id LIMIT ?"):  # noqa: S608 -- ours
        try:
            yield decode(row)
        except CorruptRow as error:
            yield CorruptRow(f"row {row[0]} {error}")


def corrupt_rows_in(path: Path) -> Iterator[tuple[int, Any, Any, str, float]]:
    """Id, head, body, reason and time (Unix seconds) of the rows that were set aside.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    return _rows(
        path,
        "SELECT id, CAST(head AS BLOB), CAST(body AS BLOB), reason, found_at FROM corrupt"
        " WHERE id > ? ORDER BY id LIMIT ?",
    )


def faults_of_file(path: Path) -> list[str]:
    """What SQLite finds wrong with the file, apart from its rows; empty when nothing is.

    Raises:
        sqlite3.Error: it cannot be read at all.
    """
    with closing(_open(path)) as connection:
        found = [text for (text,) in connection.execute("PRAGMA integrity_check(10)")]
    return [] if found == ["ok"] else found


def _rows(path: Path, query: str) -> Iterator[Any]:
    last = 0
    with closing(_open(path)) as connection:
        while rows := connection.execute(query, (last, _AT_ONCE)).fetchall():
            yield from rows
            last = rows[-1][0]


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10, isolation_level=None)
