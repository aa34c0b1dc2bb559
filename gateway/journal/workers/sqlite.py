"""The workers that are alive, in a small SQLite file beside the journal."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
from typing_extensions import override

from gateway.journal.reports import Heartbeat
from gateway.journal.workers import MAX_SILENCE, MAX_WORKERS, Workers
from gateway.transport.private_files import make_private, make_private_folder

FILE_NAME = "journal/workers.db"
"""The file in the data directory."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS workers (
    queue TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, at REAL NOT NULL, heartbeat TEXT NOT NULL,
    PRIMARY KEY (queue, host, pid)
) WITHOUT ROWID;
"""

_LOCK_TIMEOUT = 2.0
"""Seconds to wait for another process that writes the file."""


class SqliteWorkers(Workers):
    """The table in the data directory ``folder``. The file is made by the first heartbeat."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @override
    def note(self, heartbeats: Sequence[Heartbeat]) -> None:
        rows = [
            (each.queue, each.host, each.pid, each.at, msgspec.json.encode(each).decode())
            for each in heartbeats
        ]
        with self._lock:
            try:
                self._write(rows)
            except sqlite3.Error as error:
                raise OSError(f"{self._path}: {error}") from error

    @override
    def alive(self, now: float) -> list[Heartbeat]:
        with self._lock:
            if self._connection is None and not self._path.exists():
                return []
            try:
                found = self._open().execute(
                    "SELECT heartbeat FROM workers WHERE at >= ? ORDER BY queue, host, pid",
                    (now - MAX_SILENCE,),
                )
                heartbeats = [msgspec.json.decode(text, type=Heartbeat) for (text,) in found]
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise OSError(f"{self._path}: {error}") from error
        return [heartbeat for heartbeat in heartbeats if not heartbeat.has_ended]

    @override
    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write(self, rows: list[tuple[str, str, int, float, str]]) -> None:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT INTO workers VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, "
                "heartbeat = excluded.heartbeat WHERE excluded.at >= workers.at",
                rows,
            )
            connection.execute(
                "DELETE FROM workers WHERE (queue, host, pid) IN "
                "(SELECT queue, host, pid FROM workers ORDER BY at DESC LIMIT -1 OFFSET ?)",
                (MAX_WORKERS,),
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            make_private_folder(self._path.parent)
            make_private(self._path)
            connection = sqlite3.connect(
                self._path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # the next heartbeats come in a few seconds
            connection.executescript(_SCHEMA)
            self._connection = connection
        return self._connection
