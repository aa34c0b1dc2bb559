"""SQLite with group commit: one file, one writer thread, many operations in each commit.

Operations that arrive during a commit go into the next one together. Each is done only when its commit is on disk
(WAL, ``synchronous=FULL``), so that the cost of an fsync is shared and batches grow with the load.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway.transport.private_files import make_private, make_private_folder

PAGE_SIZE = 8192
"""The page size of a new file in bytes. Events have about 2 kB: SQLite's default of 4096 would hold only one."""

_CHECKPOINT_PAGES = 128
"""The pages, one mebibyte, after which the WAL is checkpointed: a large WAL could not be on a disk that becomes full."""

_LOCK_TIMEOUT = 10.0
"""Seconds to wait for another program that has locked the file."""

_LOCK_DELAY = 0.02
"""Seconds between two attempts where SQLite does not wait by itself."""

_PRIMARY_CODE = 0xFF
"""The bits of an error code that say what failed; the others say where."""

T = TypeVar("T")

Job = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]
"""An operation, and the future of its result."""


class SqliteFile:
    """An open SQLite file and its writer thread.

    Call :meth:`run` on the event loop that called :meth:`start`.

    Args:
        path: The file; it is made, with its folder, if it is missing.
        schema: The statements that make missing tables.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._schema = schema
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._users = 0
        self._identity: tuple[int, int] | None = None

    async def start(self) -> None:
        """Open the file, and make it if it is missing. Every start needs its own :meth:`stop`.

        Raises:
            OSError: The file cannot be opened or made.
        """
        if self._users:
            self._users += 1
            return
        make_private_folder(self.path.parent)
        self._loop = asyncio.get_running_loop()
        try:
            connection = open_file(self.path, self._schema)
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from error
        self._identity = _identity_of(self.path)
        self._thread = threading.Thread(
            target=self._work, args=(connection,), name=self.path.stem, daemon=True
        )
        self._thread.start()
        self._users = 1

    async def stop(self) -> None:
        """Close the file when the last user stops, after the operations that are queued."""
        self._users -= 1
        if self._users == 0 and self._thread:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Queue ``operation``; the future has its result once it is committed.

        The future fails with sqlite3.Error if the commit fails. Nothing of the whole batch was written then.
        """
        result: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((operation, result))
        return result

    @property
    def misplaced(self) -> str:
        """Return why writes would be lost with this process; empty if they would not.

        A file that was removed or replaced can still be written, but no other process ever reads it.
        """
        if self._identity is None or _identity_of(self.path) == self._identity:
            return ""
        return f"{self.path} was removed or replaced; start again"

    def expect_in_place(self) -> None:
        """Raise, within an operation, if the file was removed or replaced.

        Raises:
            sqlite3.OperationalError: The file is no longer at its path.
        """
        if misplaced := self.misplaced:
            raise sqlite3.OperationalError(misplaced)

    def _work(self, connection: sqlite3.Connection) -> None:
        is_open = True
        while is_open:
            job, batch = self._jobs.get(), []
            while job is not None:
                batch.append(job)
                if self._jobs.empty():
                    break
                job = self._jobs.get()
            is_open = job is not None
            if batch:
                self._commit(connection, batch)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, batch: list[Job]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [operation(connection) for operation, _ in batch]
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 -- a bug in one operation must not end the thread for all
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                _truncate_wal(connection)
            self._loop.call_soon_threadsafe(self._fail, batch, error)
        else:
            self._loop.call_soon_threadsafe(_resolve, batch, results)

    def _fail(self, batch: list[Job], error: Exception) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)


def _truncate_wal(connection: sqlite3.Connection) -> None:
    """Free space on a full disk: write the pages of the WAL into the file and truncate the WAL."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def open_file(path: Path, schema: str) -> sqlite3.Connection:
    """Open the file at ``path``, make missing tables, and make every commit durable.

    Raises:
        sqlite3.Error: The file cannot be opened.
        OSError: The file cannot be made.
    """
    make_private(path)
    connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # takes effect in a new file only
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(schema)
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to a WAL. SQLite itself does not wait there for a program that is just closing the file, or opening it."""
    ends_at = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > ends_at:
                connection.close()
                raise
            time.sleep(_LOCK_DELAY)
        else:
            return


def _resolve(batch: list[Job], results: list[Any]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if not future.done():
            future.set_result(result)


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 -- called for every event, and Path.stat is slower
    except OSError:
        return None
    return found.st_dev, found.st_ino
