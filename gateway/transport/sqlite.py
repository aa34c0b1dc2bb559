"""SQLite with group commit: one file, one thread that writes it, many operations a commit.

Operations asked for while a commit is under way go together into the next, and each is done only when its
commit is on disk (WAL, ``synchronous=FULL``).
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway.transport.private_files import make_private, make_private_folder

PAGE_SIZE = 8192
"""Bytes. Events of two kilobytes, of which the usual 4096 would hold but one, leave little of it unused."""

_LOG_PAGES = 128
"""Pages, a mebibyte, after which the log goes into the file: on a disk that is full now there is no room for more."""

T = TypeVar("T")
Job = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class SqliteFile:
    """A file, while it is open; :meth:`run` is for the event loop that called :meth:`start`.

    Args:
        path: where it is; made when it is not there, with its folder.
        schema: the statements that make its tables where they are not.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._schema = schema
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._users = 0
        self._place: tuple[int, int] | None = None

    async def start(self) -> None:
        """Open the file, making it when it is not there; every start needs its own :meth:`stop`.

        Raises:
            OSError: it cannot be opened or made.
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
        self._place = _place_of(self.path)
        self._thread = threading.Thread(
            target=self._work, args=(connection,), name=self.path.stem, daemon=True
        )
        self._thread.start()
        self._users = 1

    async def stop(self) -> None:
        """Carry out what was asked for and close the file, when the last user stops."""
        self._users -= 1
        if self._users == 0 and self._thread:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Carry out ``operation`` on the file; done when it is committed.

        The future raises sqlite3.Error when it is not; then nothing of its batch is.
        """
        result: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((operation, result))
        return result

    @property
    def misplaced(self) -> str:
        """Why what is written would be lost with this process, for people; empty where it would not."""
        if self._place is None or _place_of(self.path) == self._place:
            return ""
        return f"{self.path} was removed or replaced; start again"

    def expect_in_place(self) -> None:
        """Refuse, within an operation, to write what would be lost.

        Raises:
            sqlite3.OperationalError: the file is not where it was.
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
                _empty_log(connection)
            self._loop.call_soon_threadsafe(self._fail, batch, error)
        else:
            self._loop.call_soon_threadsafe(_resolve, batch, results)

    def _fail(self, batch: list[Job], error: Exception) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)


def _empty_log(connection: sqlite3.Connection) -> None:
    """On a full disk: what is in the log takes no new room in the file, and leaves that which it had in the log."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def open_file(path: Path, schema: str) -> sqlite3.Connection:
    """A connection to the file at ``path`` with the tables made, durable at every commit.

    Raises:
        sqlite3.Error: it cannot be opened.
        OSError: it cannot be made.
    """
    make_private(path)
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # of a new file; others stay as they are
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(schema)
    return connection


def _resolve(batch: list[Job], results: list[Any]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if not future.done():
            future.set_result(result)


def _place_of(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 -- for every event
    except OSError:
        return None
    return found.st_dev, found.st_ino
