"""One spool: the rows of one file, which one process owns at a time.

The size and the number of rows are counted here rather than asked of SQLite, because every event and every metric needs
them. That, and what is done on a full disk, on a damaged file and for late confirms, makes the module long.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import structlog

from gateway.events.message import Message
from gateway.publishers import PublishUnavailable
from gateway.publishers.spool.disk_reserve import DiskReserve
from gateway.publishers.spool.files import Ownership, delete_database
from gateway.publishers.spool.records import (
    COLUMNS,
    OVERHEAD,
    SCHEMA,
    CorruptRow,
    SpooledMessage,
    decode,
    encode,
    totals,
)
from gateway.publishers.spool.recovery import is_damage, mark_as_damaged, repair
from gateway.transport.private_files import make_private_folder
from gateway.transport.sqlite import SqliteFile, open_file

_READ_BATCH_SIZE = 4 * 1024**2
"""Bytes of bodies after which a read ends, so that a drain of large events stays small in memory."""

_FAILURE_PAUSE = 3.0
"""Seconds without writes after an error of the disk; requests are refused at once meanwhile."""

_MAX_RESERVE = 16 * 1024**2
"""The largest disk reserve in bytes; smaller spools have a sixteenth of their limit."""

T = TypeVar("T")

log = structlog.get_logger()


class Spool:
    """The messages of one file, in the order in which they were accepted.

    Args:
        path: The file.
        max_size: The limit in bytes beyond which no message is accepted; 0 for a spool that is only drained.

    Attributes:
        path: The file.
        count: The number of messages that wait.
        corrupt: The number of rows that were set aside.
        is_filled: Set while there are messages.
    """

    def __init__(self, path: Path, max_size: int) -> None:
        self.path = path
        self.count = self.corrupt = 0
        self.file = SqliteFile(path, SCHEMA)
        self._owner = Ownership(path)
        self._reserve = DiskReserve(path.with_suffix(".reserve"), min(_MAX_RESERVE, max_size // 16))
        self._max_size = max_size
        self._size = 0
        self._has_reserve = True
        self._is_full = False
        self._held_back: set[int] = set()
        self._damage = self._failure = ""
        self._failed_until = 0.0
        self.is_filled = asyncio.Event()

    @property
    def unavailable_reason(self) -> str:
        """Return why no message is accepted at the moment; empty if they are."""
        if self._damage:
            return f"the spool is damaged and takes no events until the next start: {self._damage}"
        if self._failure and time.monotonic() < self._failed_until:
            return f"the spool cannot be written: {self._failure}"
        if not self._has_reserve:
            return "the disk is full, and the spool is only drained"
        return "the spool is full" if self._is_full or self._size >= self._max_size else ""

    async def start(self) -> None:
        """Open the file, and repair it first if it is damaged.

        Raises:
            SpoolInUse: Another process owns it.
            OSError: It cannot be opened or repaired.
        """
        make_private_folder(self.path.parent)
        await self._owner.acquire()
        try:
            await asyncio.to_thread(repair, self.path)
            await self.file.start()
        except OSError:
            self._owner.release()
            raise
        try:
            self.count, self._size, self.corrupt = await self.file.run(totals)
        except sqlite3.Error as error:
            await self.file.stop()
            self._owner.release()
            raise OSError(f"{self.path}: {error}") from error
        self._has_reserve = await asyncio.to_thread(self._reserve.acquire)
        self._note_count(0)

    async def stop(self) -> None:
        """Close the file, and delete it if it is empty."""
        await self.file.stop()
        if not (self.count or self._damage):
            await asyncio.to_thread(_delete_if_empty, self.path)
        self._owner.release()

    async def append(self, message: Message, late: asyncio.Future[None] | None = None) -> None:
        """Write ``message``, and return once it is on disk.

        Args:
            message: The message.
            late: Given if the broker may still confirm the message; see :meth:`hold_back`.

        Raises:
            PublishUnavailable: The spool is full, or cannot be written.
        """
        row = encode(message, time.time())
        size = OVERHEAD + len(message.body)
        if self._size + size > self._max_size:
            self._is_full = self.count > 0
            raise PublishUnavailable("the spool is full")
        if self.unavailable_reason:
            raise PublishUnavailable(self.unavailable_reason)
        numbers: list[int] = []

        def insert(connection: sqlite3.Connection) -> None:
            self.file.expect_in_place()
            cursor = connection.execute("INSERT INTO spool (head, body, digest) VALUES (?, ?, ?)", row)
            numbers.append(cast("int", cursor.lastrowid))
            if late is not None:  # in the writer thread, so that no read comes before it
                self._held_back.update(numbers)

        # Counted before it is written, so that many at once cannot exceed the limit.
        self._size += size
        written = self.file.run(insert)
        written.add_done_callback(partial(self._note_append, numbers, size, late))
        await self._wait_for(written)

    def hold_back(self, row: int, size: int, late: asyncio.Future[None]) -> None:
        """Keep a message back whose confirm may still come, or the drain would publish it again.

        Args:
            row: The row of the message.
            size: The bytes that it counts against the limit.
            late: Done when the broker confirms, and the message is deleted; cancelled when it no longer can.
        """
        self._held_back.add(row)
        late.add_done_callback(partial(self._on_late, row, size))

    async def read(self, after: int, limit: int) -> list[SpooledMessage]:
        """Return up to ``limit`` messages behind the row ``after``; set corrupt rows aside.

        Raises:
            PublishUnavailable: The file cannot be read.
        """
        held_back = self._held_back
        messages, corrupt = await self._run(lambda connection: _read(connection, after, limit, held_back))
        self._note_corrupt(corrupt)
        return messages

    async def delete(self, messages: list[SpooledMessage]) -> None:
        """Delete messages that the broker has confirmed, with the disk reserve if need be.

        Raises:
            PublishUnavailable: The file cannot be written.
        """
        rows = [(message.row,) for message in messages]

        def remove(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM spool WHERE id = ?", rows)

        try:
            await self._run(remove)
        except PublishUnavailable:
            if self._damage:
                raise
            self._release_reserve()
            await self._run(remove)
        self._note_removal(len(messages), sum(message.size for message in messages))

    def _release_reserve(self) -> None:
        if self._has_reserve and self._reserve.release():
            log.warning("spool reserve released", spool=self.path.name)
        self._has_reserve = False

    async def set_aside(self, message: SpooledMessage, reason: str) -> None:
        """Move a message that cannot be published to the table of corrupt rows, which count against the limit too.

        Raises:
            PublishUnavailable: The file cannot be written.
        """
        corrupt = [(message.row, reason)]
        await self._run(lambda connection: _set_aside(connection, corrupt))
        self._note_corrupt(corrupt)

    async def renew_reserve(self) -> None:
        """Acquire the disk reserve again if it was released; an empty spool can do without."""
        if not self._has_reserve:
            self._has_reserve = await asyncio.to_thread(self._reserve.acquire) or self.count == 0

    async def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        if self._damage:
            raise PublishUnavailable(self.unavailable_reason)
        return await self._wait_for(self.file.run(operation))

    async def _wait_for(self, result: asyncio.Future[T]) -> T:
        try:
            # Shielded: a caller that is cancelled must not cancel the write.
            return await asyncio.shield(result)
        except sqlite3.Error as error:
            self._note_failure(error)
            raise PublishUnavailable(self.unavailable_reason) from error

    def _note_append(
        self,
        numbers: list[int],
        size: int,
        late: asyncio.Future[None] | None,
        written: asyncio.Future[None],
    ) -> None:
        if written.exception():
            self._size -= size
            self._held_back.difference_update(numbers)
        else:
            self._note_count(1)
            if late is not None:
                self.hold_back(numbers[0], size, late)

    def _on_late(self, row: int, size: int, late: asyncio.Future[None]) -> None:
        if late.cancelled():
            self._held_back.discard(row)
            return

        removed = self.file.run(
            lambda connection: connection.execute("DELETE FROM spool WHERE id = ?", (row,))
        )
        removed.add_done_callback(partial(self._note_late_removal, row, size))

    def _note_late_removal(self, row: int, size: int, removed: asyncio.Future[sqlite3.Cursor]) -> None:
        self._held_back.discard(row)
        if not removed.exception():  # otherwise the drain publishes it again, under the same id
            self._note_removal(1, size)

    def _note_removal(self, count: int, size: int) -> None:
        self._size -= size
        self._is_full = False
        self._note_count(-count)

    def _note_count(self, change: int) -> None:
        self.count += change
        if self.count:
            self.is_filled.set()
        else:
            self.is_filled.clear()

    def _note_corrupt(self, corrupt: list[tuple[int, str]]) -> None:
        for row, reason in corrupt:
            log.error("spool row set aside", spool=self.path.name, row=row, reason=reason)
        self.corrupt += len(corrupt)
        self._note_count(-len(corrupt))

    def _note_failure(self, error: sqlite3.Error) -> None:
        if is_damage(error):
            if not self._damage:
                mark_as_damaged(self.path)
                log.error(
                    "spool damaged",
                    spool=self.path.name,
                    cause=str(error),
                    advice="restart: what can be read is recovered",
                )
            self._damage = str(error)
            return
        if str(error) != self._failure:  # logged once
            log.error("spool not writable", spool=self.path.name, cause=str(error))
        self._failure = str(error)
        self._failed_until = time.monotonic() + _FAILURE_PAUSE


def _delete_if_empty(path: Path) -> None:
    with suppress(sqlite3.Error):
        with closing(open_file(path, SCHEMA)) as connection:
            is_empty = not connection.execute("SELECT 1 FROM spool UNION SELECT 1 FROM corrupt").fetchone()
        if is_empty:
            delete_database(path)


def _read(
    connection: sqlite3.Connection, after: int, limit: int, held_back: set[int]
) -> tuple[list[SpooledMessage], list[tuple[int, str]]]:
    messages: list[SpooledMessage] = []
    corrupt: list[tuple[int, str]] = []
    size = 0
    rows = connection.execute(
        f"SELECT {COLUMNS}, LENGTH(body) FROM spool WHERE id > ? ORDER BY id",  # noqa: S608 -- ours
        (after,),
    )
    for *row, length in rows:
        if row[0] in held_back:
            continue
        try:
            messages.append(decode(tuple(row)))
        except CorruptRow as error:
            corrupt.append((row[0], str(error)))
        size += length or 0
        if len(messages) >= limit or (size >= _READ_BATCH_SIZE and messages):
            break
    rows.close()
    _set_aside(connection, corrupt)
    return messages, corrupt


def _set_aside(connection: sqlite3.Connection, rows: Iterable[tuple[int, str]]) -> None:
    for row, reason in rows:
        connection.execute(
            "INSERT OR REPLACE INTO corrupt SELECT id, head, body, digest, ?, ? FROM spool WHERE id = ?",
            (reason, time.time(), row),
        )
        connection.execute("DELETE FROM spool WHERE id = ?", (row,))
