"""The database of the embedded stores: claims, queues and archive in one SQLite file.

Several processes may open the file: the gateway, a worker, a ``tail``. The row of ``routing`` tells them that a binding has
changed. Its version is random and not counted: a change that is rolled back must not look like the next one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from typing_extensions import override

from gateway.transport.sqlite import Job, SqliteFile

FILE_NAME = "embedded.db"

SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS claims_by_expiry ON claims (expires_at);
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY, expires_at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bindings (
    exchange TEXT NOT NULL, queue TEXT NOT NULL REFERENCES queues ON DELETE CASCADE, pattern TEXT NOT NULL,
    PRIMARY KEY (exchange, queue, pattern)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS routing (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL);
CREATE TRIGGER IF NOT EXISTS binding_made AFTER INSERT ON bindings
    BEGIN DELETE FROM routing; INSERT INTO routing VALUES (1, random()); END;
CREATE TRIGGER IF NOT EXISTS binding_removed AFTER DELETE ON bindings
    BEGIN DELETE FROM routing; INSERT INTO routing VALUES (1, random()); END;
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL REFERENCES queues ON DELETE CASCADE,
    routing_key TEXT NOT NULL, message_id TEXT NOT NULL, body BLOB NOT NULL,
    visible_at REAL NOT NULL, deliveries INTEGER NOT NULL DEFAULT 0, headers TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue, visible_at, id);
CREATE TABLE IF NOT EXISTS archive (
    id INTEGER PRIMARY KEY AUTOINCREMENT, archived_at REAL NOT NULL, starts_at INTEGER NOT NULL,
    routing_key TEXT NOT NULL, message_id TEXT NOT NULL, type TEXT NOT NULL, headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS archive_by_time ON archive (archived_at);
CREATE TABLE IF NOT EXISTS reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT, sent_at REAL NOT NULL, starts_at INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS latest (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL);
"""

_PROBE_DELAY = 1.0
"""Seconds between a commit that failed and a trial write that finds out whether commits succeed again."""

_PROBE_SIZE = 256 * 1024
"""Bytes of a trial write. On a disk with less free space most events would fail again."""

_SYNC_INTERVAL = 1.0
"""Seconds between two writes of the latest time to the file; also how old the time of other processes may be."""


class Database(SqliteFile):
    """The embedded database in ``folder``, which knows whether it can be written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE_NAME, SCHEMA)
        self._failure = ""
        self._probe_timer: asyncio.TimerHandle | None = None

    @property
    def unavailable_reason(self) -> str:
        """Return why nothing can be written at the moment; empty when it can."""
        return self._failure or self.misplaced

    @override
    async def start(self) -> None:
        await super().start()
        await self.run(_add_headers)

    @override
    async def stop(self) -> None:
        if self._probe_timer and self._users == 1:
            self._probe_timer.cancel()
        await super().stop()

    @override
    def _fail(self, batch: list[Job], error: Exception) -> None:
        super()._fail(batch, error)
        # A mistake of one operation says nothing about the file.
        is_mistake = isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError)
        if isinstance(error, sqlite3.DatabaseError) and not is_mistake:
            self._failure = f"{self.path}: {error}"
            if self._probe_timer is None and self._users:
                self._probe_timer = self._loop.call_later(_PROBE_DELAY, self._probe)

    def _probe(self) -> None:
        """Find out whether commits succeed again: while they fail, no event may come to do so."""
        self._probe_timer = None
        self.run(self._write_probe).add_done_callback(self._on_probe_written)

    def _on_probe_written(self, written: asyncio.Future[None]) -> None:
        # In a commit of its own: together with the trial write, nothing would reach the disk. If the trial write
        # failed, the next one is scheduled already.
        if not written.cancelled() and written.exception() is None and self._users:
            self.run(_remove_probe).add_done_callback(self._on_probe_removed)

    def _on_probe_removed(self, removed: asyncio.Future[None]) -> None:
        if not removed.cancelled() and removed.exception() is None and self._probe_timer is None:
            self._failure = ""

    def _write_probe(self, connection: sqlite3.Connection) -> None:
        self.expect_in_place()
        connection.execute("CREATE TABLE IF NOT EXISTS tried (filler BLOB)")
        connection.execute("INSERT INTO tried VALUES (zeroblob(?))", (_PROBE_SIZE,))


class SteadyClock:
    """The time by which rows become due and expire, which never goes back.

    The latest time that any process used is kept in the file. If the clock is behind it, time goes on from there.
    Otherwise messages published before the clock went back would be invisible until it had caught up, and delays
    and leases would last longer than they should.

    Args:
        clock: Unix seconds.

    Attributes:
        kept: The time in the file when it was last compared. No process that compares is before it, so a row with
            this time is visible at once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.kept = 0.0
        self._clock = clock
        self._ahead = self._last = 0.0
        self._compared_at = float("inf")

    def now(self, connection: sqlite3.Connection, *, compares: bool = False) -> float:
        """Return the time within an operation on the file, in Unix seconds or somewhat later.

        Args:
            connection: The connection to the file.
            compares: Whether the time must be as late as that of any other process; if not, it may be a second behind.
        """
        wall = self._clock()
        if compares or not self._compared_at <= wall < self._compared_at + _SYNC_INTERVAL:
            self._compare(connection, wall)
        self._last = max(self._last, wall + self._ahead)
        return self._last

    def _compare(self, connection: sqlite3.Connection, wall: float) -> None:
        row = connection.execute("SELECT at FROM latest").fetchone()
        self.kept = row[0] if row else 0.0
        latest = max(self.kept, self._last)
        if wall >= latest:
            self._ahead = 0.0
        elif wall + self._ahead < latest:
            self._ahead = latest - wall
        if wall + self._ahead >= self.kept + _SYNC_INTERVAL:
            self.kept = wall + self._ahead
            connection.execute("INSERT OR REPLACE INTO latest VALUES (1, ?)", (self.kept,))
        self._compared_at = wall


def _remove_probe(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS tried")


def _add_headers(connection: sqlite3.Connection) -> None:
    """Add the column for headers to a file whose table of messages was made without it."""
    if "headers" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(messages)")}:
        connection.execute("ALTER TABLE messages ADD COLUMN headers TEXT NOT NULL DEFAULT '{}'")
