"""The embedded stores' database: claims, bindings, queues and the archive in one SQLite file in ``data_dir``.

Several processes may open the file: the gateway, a worker, a ``tail``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

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
CREATE TABLE IF NOT EXISTS latest (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL);
"""

_TRY_AGAIN_AFTER = 1.0
"""Seconds after a commit that failed, after which it is tried whether one succeeds."""

_TRIED_SIZE = 256 * 1024
"""Bytes that have to be written for that: where less is left, most events fail again."""

_KEEP_TIME_EVERY = 1.0
"""Seconds after which the latest time is written down, and read what other processes have written."""


class Database(SqliteFile):
    """The embedded database in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE_NAME, SCHEMA)
        self._failure = ""
        self._trying: asyncio.TimerHandle | None = None

    @property
    def unavailable_reason(self) -> str:
        """Why nothing can be written at the moment, for people; empty when it can."""
        return self._failure or self.misplaced

    async def start(self) -> None:
        """See :class:`gateway.transport.sqlite.SqliteFile`."""
        await super().start()
        await self.run(_add_headers)

    async def stop(self) -> None:
        """See :class:`gateway.transport.sqlite.SqliteFile`."""
        if self._trying and self._users == 1:
            self._trying.cancel()
        await super().stop()

    def _fail(self, batch: list[Job], error: Exception) -> None:
        super()._fail(batch, error)
        # Those are mistakes of one operation, and say nothing of the file.
        is_mistake = isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError)
        if isinstance(error, sqlite3.DatabaseError) and not is_mistake:
            self._failure = f"{self.path}: {error}"
            if self._trying is None and self._users:
                self._trying = self._loop.call_later(_TRY_AGAIN_AFTER, self._try_again)

    def _try_again(self) -> None:
        """Find out whether a commit succeeds: no event may come to do that while this is not ready."""
        self._trying = None
        self.run(self._fill).add_done_callback(self._on_filled)

    def _on_filled(self, filled: asyncio.Future[None]) -> None:
        # Not in one commit with that, which would have nothing to write. A failure has begun the next try already.
        if not filled.cancelled() and filled.exception() is None and self._users:
            self.run(_empty).add_done_callback(self._on_emptied)

    def _on_emptied(self, emptied: asyncio.Future[None]) -> None:
        if not emptied.cancelled() and emptied.exception() is None and self._trying is None:
            self._failure = ""

    def _fill(self, connection: sqlite3.Connection) -> None:
        self.expect_in_place()
        connection.execute("CREATE TABLE IF NOT EXISTS tried (filler BLOB)")
        connection.execute("INSERT INTO tried VALUES (zeroblob(?))", (_TRIED_SIZE,))


class SteadyClock:
    """The time by which rows become due and end: it never goes back, though the system's clock does.

    The latest time that any process used is kept in the file. Where the clock is behind it, it goes on from there.
    So what was published before is not invisible until the clock has caught up, and delays and leases last as long as
    they were to.

    Args:
        clock: Unix seconds.

    Attributes:
        kept: the time in the file when it was last compared. Nobody who compares is before it, so that it is the moment
            of what is to be seen at once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.kept = 0.0
        self._clock = clock
        self._ahead = self._last = 0.0
        self._compared_at = float("inf")

    def now(self, connection: sqlite3.Connection, *, compares: bool = False) -> float:
        """Return the time within an operation on the file, in Unix seconds or somewhat later.

        Args:
            connection: to the file.
            compares: whether it has to be as late as the time of any other process; else it may be a second behind.
        """
        wall = self._clock()
        if compares or not self._compared_at <= wall < self._compared_at + _KEEP_TIME_EVERY:
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
        if wall + self._ahead >= self.kept + _KEEP_TIME_EVERY:
            self.kept = wall + self._ahead
            connection.execute("INSERT OR REPLACE INTO latest VALUES (1, ?)", (self.kept,))
        self._compared_at = wall


def _empty(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS tried")


def _add_headers(connection: sqlite3.Connection) -> None:
    """To a file of a gateway whose messages had none."""
    if "headers" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(messages)")}:
        connection.execute("ALTER TABLE messages ADD COLUMN headers TEXT NOT NULL DEFAULT '{}'")
