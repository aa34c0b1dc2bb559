"""How often things happened, by minute for two weeks and by hour for a year: one file of SQLite."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gateway.journal import Point
from gateway.journal.spans import GAUGE_PREFIX, HOUR, HOURS_KEPT, MINUTE, MINUTES_KEPT, summed
from gateway.transport.private_files import make_private, make_private_folder

FILE_NAME = "rollups.db"

_TABLES = {"minutes": (MINUTE, MINUTES_KEPT), "hours": (HOUR, HOURS_KEPT)}
"""The length of the spans of each table, and how long they are kept."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
""" + "".join(
    f"""
CREATE TABLE IF NOT EXISTS {name} (
    measure INTEGER NOT NULL, provider INTEGER NOT NULL, at INTEGER NOT NULL, times REAL NOT NULL,
    PRIMARY KEY (measure, provider, at)
) WITHOUT ROWID;
"""
    for name in _TABLES
)


class Rollups:
    """The file; it is made by the first process that adds numbers, and has none until then."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._oldest: float | None = None
        self._oldest_found_at = 0.0

    def add(self, points: Sequence[Point]) -> None:
        """Add numbers to those of their minute and hour.

        Raises:
            sqlite3.Error: The file cannot be written.
            OSError: Likewise.
        """
        with self._lock:
            self._oldest = None
            connection = self._connect(makes=True)
            assert connection  # noqa: S101 -- it was made
            connection.execute("BEGIN IMMEDIATE")
            try:
                words = {word for _, provider, measure, _ in points for word in (provider, measure)}
                connection.executemany(
                    "INSERT OR IGNORE INTO words (word) VALUES (?)", [(each,) for each in words]
                )
                for table, (step, _) in _TABLES.items():
                    connection.executemany(
                        f"INSERT INTO {table} VALUES ((SELECT id FROM words WHERE word = ?), "  # noqa: S608 -- our constants
                        "(SELECT id FROM words WHERE word = ?), ?, ?) ON CONFLICT DO UPDATE SET times = "
                        "CASE WHEN ? THEN excluded.times ELSE times + excluded.times END",
                        [
                            (measure, provider, at // step * step, times, measure.startswith(GAUGE_PREFIX))
                            for at, provider, measure, times in points
                        ],
                    )
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None
    ) -> list[Point]:
        """Return numbers summed over spans.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        with self._lock:
            connection = self._connect(makes=False)
            if connection is None:
                return []
            if step % HOUR == 0:
                return summed(
                    self._rows("hours", measures, since // HOUR * HOUR, until, provider, step), step
                )
            oldest = self._oldest_minute(connection)
            turn = until if oldest is None else min(max(since, oldest), until)
            older = self._rows("hours", measures, since, turn // HOUR * HOUR, provider, step)
            newer = self._rows("minutes", measures, turn, until, provider, step)
            return summed([*older, *newer], step)

    def _oldest_minute(self, connection: sqlite3.Connection) -> float | None:
        """Return the oldest minute that there is. Finding it takes a look at the whole table, so it is kept for a minute."""
        if self._oldest is None or time.monotonic() - self._oldest_found_at > MINUTE:
            (self._oldest,) = connection.execute("SELECT min(at) FROM minutes").fetchone()
            self._oldest_found_at = time.monotonic()
        return self._oldest

    def prune(self, now: float) -> None:
        """Delete numbers that are too old.

        Raises:
            sqlite3.Error: The file cannot be written.
        """
        with self._lock:
            if connection := self._connect(makes=False):
                for table, (_, kept) in _TABLES.items():
                    connection.execute(f"DELETE FROM {table} WHERE at < ?", (now - kept,))  # noqa: S608 -- our constants

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._path.stat().st_size if self._path.exists() else 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None

    def _rows(
        self, table: str, measures: str, since: float, until: float, provider: str | None, step: float
    ) -> list[Point]:
        """Return rows, summed over spans by SQLite, which takes a fraction of the time; those of gauges as they are."""
        connection = self._connect(makes=False)
        assert connection  # noqa: S101 -- the caller has looked
        words: dict[int, str] = dict(connection.execute("SELECT id, word FROM words"))
        wanted = [number for number, word in words.items() if word.startswith(measures)]
        condition, values = f"measure IN ({','.join(map(str, wanted))})", [since, until]
        if provider is not None:
            numbers = [number for number, word in words.items() if word == provider]
            condition += f" AND provider IN ({','.join(map(str, numbers))})"
        found = f"FROM {table} WHERE {condition} AND at >= ? AND at < ?"
        query = f"SELECT at, provider, measure, times {found} ORDER BY at"
        if not any(words[number].startswith(GAUGE_PREFIX) for number in wanted):
            query = (
                f"SELECT CAST(at AS INTEGER) / {int(step)} * {int(step)} AS span, provider, measure, sum(times) {found} "
                "GROUP BY span, provider, measure ORDER BY span"
            )
        rows = connection.execute(query, values)
        return [Point(float(at), words[name], words[measure], times) for at, name, measure, times in rows]

    def _connect(self, *, makes: bool) -> sqlite3.Connection | None:
        if self._connection is None:
            if not self._path.exists():
                if not makes:
                    return None
                make_private_folder(self._path.parent)
            make_private(self._path)
            connection = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.executescript(_SCHEMA)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection
