"""The spool: where events wait on disk while RabbitMQ does not take them.

An event is accepted when its row is on disk, and its row is deleted only after the broker's confirm, oldest
first. A crash between confirm and delete publishes it once more, under the same id.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import structlog

from gateway.publishers import Message, Publisher, PublishUnavailable
from gateway.sqlite import SqliteFile

FILE_NAME = "spool.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT, exchange TEXT NOT NULL, routing_key TEXT NOT NULL,
    message_id TEXT NOT NULL, type TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL
);
"""
_DRAINED_AT_ONCE = 100
_LOOK_AGAIN_AFTER = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SpooledMessage:
    """A message and its place in the spool."""

    row: int
    message: Message


class Spool:
    """The file ``spool.db`` in ``folder``, which one process owns at a time.

    Args:
        folder: where it is.
        max_size: bytes of messages beyond which it takes no more.

    Attributes:
        count: how many messages wait in it.
    """

    def __init__(self, folder: Path, max_size: int) -> None:
        self._file = SqliteFile(folder / FILE_NAME, _SCHEMA)
        self._max_size = max_size
        self._size = 0
        self._lock: int | None = None
        self.count = 0

    @property
    def has_room(self) -> bool:
        """Whether a message of ordinary size would be taken."""
        return self._size < self._max_size

    async def start(self) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be opened, or another process owns it.
        """
        self._file.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._file.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise OSError(
                f"{self._file.path} belongs to another gateway; give each its own data_dir"
            ) from error
        await self._file.start()
        self.count, self._size = await self._file.run(
            lambda connection: connection.execute(
                "SELECT COUNT(*), TOTAL(LENGTH(body)) FROM spool"
            ).fetchone()
        )

    async def stop(self) -> None:
        """Close the file; what is in it stays."""
        await self._file.stop()
        if self._lock is not None:
            os.close(self._lock)

    async def append(self, message: Message) -> None:
        """Done when ``message`` is on disk.

        Raises:
            PublishUnavailable: the spool is full, or cannot be written.
        """
        size = len(message.body)
        if self._size + size > self._max_size:
            raise PublishUnavailable("the broker takes no messages and the spool is full")
        values = (
            message.exchange,
            message.routing_key,
            message.message_id,
            message.type,
            orjson.dumps(message.headers).decode(),
            message.body,
        )
        # Counted before it is written, so that many at once cannot overshoot.
        self._size += size
        try:
            await self._file.run(
                lambda connection: connection.execute(
                    "INSERT INTO spool (exchange, routing_key, message_id, type, headers, body)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    values,
                )
            )
        except sqlite3.Error as error:
            self._size -= size
            raise PublishUnavailable(f"the spool cannot be written: {error}") from error
        self.count += 1

    async def oldest(self, limit: int) -> list[SpooledMessage]:
        """The messages that have waited longest."""
        rows = await self._file.run(
            lambda connection: connection.execute(
                "SELECT id, exchange, routing_key, message_id, type, headers, body FROM spool ORDER BY id LIMIT ?",
                (limit,),
            ).fetchall()
        )
        return [
            SpooledMessage(row, Message(exchange, key, message_id, kind, orjson.loads(headers), body))
            for row, exchange, key, message_id, kind, headers, body in rows
        ]

    async def delete(self, messages: list[SpooledMessage]) -> None:
        """Remove messages that are safe elsewhere."""
        rows = [(message.row,) for message in messages]
        await self._file.run(
            lambda connection: connection.executemany("DELETE FROM spool WHERE id = ?", rows)
        )
        self.count -= len(messages)
        self._size -= sum(len(message.message.body) for message in messages)


class SpoolingPublisher:
    """A publisher that puts into the spool what its broker does not confirm, and drains it later.

    Args:
        broker: the way to the broker.
        spool: where messages wait.
    """

    def __init__(self, broker: Publisher, spool: Spool) -> None:
        self._broker = broker
        self._spool = spool
        self._is_filled = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> str:
        """See :class:`gateway.publishers.Publisher`."""
        trouble = self._broker.trouble
        return f"{trouble}; {self._spool.count} events wait in the spool" if trouble else ""

    @property
    def was_ready(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return self._broker.was_ready

    @property
    def is_accepting(self) -> bool:
        """See :class:`gateway.publishers.Publisher`; the broker is waited for at the start, not later."""
        return self._broker.is_accepting or (self._broker.was_ready and self._spool.has_room)

    @property
    def unconfirmed(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return self._broker.unconfirmed

    @property
    def spooled(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return self._spool.count

    async def start(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._spool.start()
        await self._broker.start()
        if self._spool.count:
            self._is_filled.set()
        self._drain = asyncio.create_task(self._keep_draining(), name="drain of the spool")

    async def stop(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        if self._drain:
            self._drain.cancel()
            with suppress(asyncio.CancelledError):
                await self._drain
        await self._broker.stop()
        await self._spool.stop()

    def publish(self, message: Message) -> Awaitable[None]:
        """See :class:`gateway.publishers.Publisher`."""
        return self._publish(message)

    async def _publish(self, message: Message) -> None:
        try:
            await self._broker.publish(message)
        except PublishUnavailable:
            await self._spool.append(message)
            self._is_filled.set()

    async def _keep_draining(self) -> None:
        while True:
            await self._is_filled.wait()
            try:
                is_progress = not self._broker.trouble and await self._drain_some()
            except sqlite3.Error as error:
                log.warning("the spool cannot be drained", cause=str(error))
                is_progress = False
            if not is_progress:
                await asyncio.sleep(_LOOK_AGAIN_AFTER)
            if not self._spool.count:
                self._is_filled.clear()
                log.info("spool drained")

    async def _drain_some(self) -> bool:
        """Publish the oldest messages; whether any was confirmed. So few at once that live events go between."""
        messages = await self._spool.oldest(_DRAINED_AT_ONCE)
        confirmed = [
            message
            for message, is_confirmed in zip(
                messages,
                await asyncio.gather(*(self._try(message.message) for message in messages)),
                strict=True,
            )
            if is_confirmed
        ]
        if confirmed:
            await self._spool.delete(confirmed)
        return bool(confirmed)

    async def _try(self, message: Message) -> bool:
        try:
            await self._broker.publish(message)
        except PublishUnavailable:
            return False
        return True
