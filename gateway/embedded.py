"""The embedded stores' database: claims, exchanges, bindings and queues in one SQLite file in ``data_dir``.

Several processes may open the file: the gateway, a worker, a ``tail``.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.sqlite import SqliteFile

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
    visible_at REAL NOT NULL, deliveries INTEGER NOT NULL DEFAULT 0, headers TEXT
);
CREATE INDEX IF NOT EXISTS messages_by_queue ON messages (queue, visible_at, id);
"""


class Database(SqliteFile):
    """The embedded database in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE_NAME, SCHEMA)

    async def start(self) -> None:
        """See :class:`gateway.sqlite.SqliteFile`."""
        await super().start()
        await self.run(_add_headers)


def _add_headers(connection: sqlite3.Connection) -> None:
    """To a file of the time before messages had any."""
    if "headers" not in {row[1] for row in connection.execute("PRAGMA table_info(messages)")}:
        connection.execute("ALTER TABLE messages ADD COLUMN headers TEXT")
