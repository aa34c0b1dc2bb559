"""A worker's queue in the embedded database; see :mod:`gateway.queues.embedded`.

A message is invisible while it is delayed, and while a handler has it. That time is extended until the message is
settled, so that only the messages of a process that died become visible again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from typing_extensions import override

from gateway.events.message import ATTEMPTS, DEAD_SUFFIX, FIRST_FAILED_AT, FORCE_HEADER
from gateway.queues.embedded import QueuedMessage, SqliteConsumer
from gateway.transport.embedded import Database
from gateway.worker.queue import DeclarationChanged, Delivery, DeliveryLost, MessageHeaders, Queue
from gateway.worker.worker import Worker

_POLL_INTERVAL = 0.05
"""Seconds between looks into an empty queue: SQLite does not notify other processes."""

log = structlog.get_logger()


class SqliteQueue(Queue):
    """The queue of ``worker`` in ``database``.

    Args:
        database: The embedded database.
        exchange: The exchange of the events.
        worker: The declaration.
        visibility: Seconds after which the messages of a process that died are delivered again.
    """

    def __init__(self, database: Database, exchange: str, worker: Worker, visibility: float) -> None:
        self._database = database
        self._worker = worker
        self._visibility = visibility
        self._consumer = SqliteConsumer(
            database,
            worker.queue,
            [(exchange, pattern) for pattern in worker.events],
            visibility_timeout=visibility,
            is_single_active=worker.ordered_by is not None,
        )
        self._dead = SqliteConsumer(database, worker.queue + DEAD_SUFFIX)
        self._unsettled: set[QueuedMessage] = set()
        self._failure = ""
        self._extending: asyncio.Task[None] | None = None

    @override
    async def check(self) -> None:
        await self._open()
        await self._close()

    @override
    async def start(self) -> None:
        await self._open()
        self._extending = asyncio.create_task(self._keep_invisible(), name="extending the visibility")

    @override
    async def stop(self) -> None:
        if self._extending:
            self._extending.cancel()
            with suppress(asyncio.CancelledError):
                await self._extending
        await self._consumer.requeue(*self._unsettled)
        await self._close()

    @override
    async def receive(self, limit: int) -> list[Delivery]:
        while True:
            taking = asyncio.create_task(self._take(limit))
            try:
                messages = await asyncio.shield(taking)
            except asyncio.CancelledError:
                await taking  # it may take messages yet, which stop() has to requeue
                raise
            if messages:
                return [_delivery_of(message) for message in messages]
            await asyncio.sleep(_POLL_INTERVAL)

    @override
    async def pause(self) -> None:
        pass  # messages are taken in receive() only, so that there are none to return

    @override
    async def acknowledge(self, delivery: Delivery) -> None:
        await self._settle(delivery, self._consumer.acknowledge)

    @override
    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        await self._settle(
            delivery, lambda message: self._consumer.move(message, self._worker.queue, headers, seconds)
        )

    @override
    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        await self._settle(
            delivery,
            lambda message: self._consumer.move(message, self._worker.queue + DEAD_SUFFIX, headers),
        )

    @override
    async def requeue(self, delivery: Delivery) -> None:
        await self._settle(delivery, self._consumer.requeue)

    async def _take(self, limit: int) -> list[QueuedMessage]:
        try:
            messages = await self._consumer.receive(limit)
        except sqlite3.Error as error:
            if str(error) != self._failure:  # logged once, not at every poll
                log.warning("cannot receive", cause=str(error))
            self._failure = str(error)
            return []
        self._failure = ""
        self._unsettled.update(messages)
        return messages

    async def _settle(self, delivery: Delivery, settle: Callable[[QueuedMessage], Awaitable[bool]]) -> None:
        """Settle a message.

        Raises:
            DeliveryLost: The database failed, or the message became visible and was delivered to another process.
        """
        self._unsettled.discard(delivery.tag)
        try:
            is_ours = await settle(delivery.tag)
        except sqlite3.Error as error:
            raise DeliveryLost from error
        if not is_ours:
            raise DeliveryLost

    async def _open(self) -> None:
        await self._database.start()
        try:
            declared = await self._database.run(self._declared_patterns)
            if declared and declared != set(self._worker.events):
                raise DeclarationChanged(self._explain(declared))
            await self._consumer.start()
            await self._dead.start()
        except BaseException:
            await self._database.stop()
            raise

    async def _close(self) -> None:
        await self._dead.stop()
        await self._consumer.stop()
        await self._database.stop()

    def _declared_patterns(self, connection: sqlite3.Connection) -> set[str]:
        rows = connection.execute("SELECT pattern FROM bindings WHERE queue = ?", (self._worker.queue,))
        return {pattern for (pattern,) in rows}

    def _explain(self, declared: set[str]) -> str:
        queue = self._worker.queue
        return (
            f"queue {queue} was declared for the events {', '.join(sorted(declared))}, not for "
            f"{', '.join(self._worker.events)}; nothing was changed. Give the worker another queue, or remove the "
            f"rows of queue {queue} from the table bindings in {self._database.path} and start again."
        )

    async def _keep_invisible(self) -> None:
        while True:
            await asyncio.sleep(self._visibility / 3)
            with suppress(sqlite3.Error):  # a database that fails is reported by receive()
                await self._consumer.extend(*self._unsettled)


def _delivery_of(message: QueuedMessage) -> Delivery:
    headers = message.headers
    return Delivery(
        message.body,
        message.routing_key,
        int(headers.get(ATTEMPTS, 0)),
        str(headers.get(FIRST_FAILED_AT, "")),
        str(headers.get(FORCE_HEADER, "")),
        message.deliveries - 1,
        message,
    )
