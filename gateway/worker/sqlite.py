"""A worker's queue in the embedded database; see :mod:`gateway.queues.embedded`.

A delay is the time until which a message is invisible, and so is the time that a handler has: it is extended
for as long as the message is not settled.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from gateway.events.message import ATTEMPTS, DEAD_SUFFIX, FIRST_FAILED_AT, FORCE_HEADER
from gateway.queues.embedded import QueuedMessage as Row
from gateway.queues.embedded import SqliteConsumer
from gateway.transport.embedded import Database
from gateway.worker.queue import DeclarationChanged, Delivery, DeliveryLost, MessageHeaders
from gateway.worker.worker import Worker

_POLL_EVERY = 0.05

log = structlog.get_logger()


class SqliteQueue:
    """The queue of ``worker`` in ``database``.

    Args:
        database: the embedded database.
        exchange: the exchange of the events.
        worker: whose queue it is.
        visibility: seconds after which the messages of a process that died are delivered again.
    """

    def __init__(self, database: Database, exchange: str, worker: Worker, visibility: float) -> None:
        self._database = database
        self._exchange = exchange
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
        self._held: set[Row] = set()
        self._failure = ""
        self._extending: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._open()
        await self._close()

    async def start(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._open()
        self._extending = asyncio.create_task(self._keep_invisible(), name="extending the visibility")

    async def stop(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        if self._extending:
            self._extending.cancel()
            with suppress(asyncio.CancelledError):
                await self._extending
        await self._consumer.requeue(*self._held)
        await self._close()

    async def receive(self, limit: int) -> list[Delivery]:
        """See :class:`gateway.worker.queue.Queue`."""
        while True:
            asked = asyncio.create_task(self._take(limit))
            try:
                rows = await asyncio.shield(asked)
            except asyncio.CancelledError:
                await asked  # what it takes is handed back at the end
                raise
            if rows:
                return [_delivery_of(row) for row in rows]
            await asyncio.sleep(_POLL_EVERY)

    async def _take(self, limit: int) -> list[Row]:
        try:
            rows = await self._consumer.receive(limit)
        except sqlite3.Error as error:
            if str(error) != self._failure:  # said once, not at every poll
                log.warning("cannot receive", cause=str(error))
            self._failure = str(error)
            return []
        self._failure = ""
        self._held.update(rows)
        return rows

    async def pause(self) -> None:
        """See :class:`gateway.worker.queue.Queue`; what :meth:`receive` has not given out was not received."""

    async def acknowledge(self, delivery: Delivery) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._settle(delivery, self._consumer.acknowledge)

    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._settle(
            delivery, lambda row: self._consumer.move(row, self._worker.queue, headers, seconds)
        )

    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._settle(
            delivery, lambda row: self._consumer.move(row, self._worker.queue + DEAD_SUFFIX, headers)
        )

    async def requeue(self, delivery: Delivery) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._settle(delivery, self._consumer.requeue)

    async def _settle(self, delivery: Delivery, settle: Callable[[Row], Awaitable[bool]]) -> None:
        self._held.discard(delivery.tag)
        try:
            is_ours = await settle(delivery.tag)
        except sqlite3.Error as error:
            raise DeliveryLost from error
        if not is_ours:
            raise DeliveryLost

    async def _open(self) -> None:
        await self._database.start()
        try:
            then = await self._database.run(self._patterns)
            if then and then != set(self._worker.events):
                raise DeclarationChanged(self._explain(then))
            await self._consumer.start()
            await self._dead.start()
        except BaseException:
            await self._database.stop()
            raise

    async def _close(self) -> None:
        await self._dead.stop()
        await self._consumer.stop()
        await self._database.stop()

    def _patterns(self, connection: sqlite3.Connection) -> set[str]:
        rows = connection.execute("SELECT pattern FROM bindings WHERE queue = ?", (self._worker.queue,))
        return {pattern for (pattern,) in rows}

    def _explain(self, then: set[str]) -> str:
        queue = self._worker.queue
        return (
            f"queue {queue} was declared for the events {', '.join(sorted(then))}, not for "
            f"{', '.join(self._worker.events)}; nothing was changed. Give the worker another queue, or remove the "
            f"rows of queue {queue} from the table bindings in {self._database.path} and start again."
        )

    async def _keep_invisible(self) -> None:
        while True:
            await asyncio.sleep(self._visibility / 3)
            with suppress(sqlite3.Error):  # told where messages are received
                await self._consumer.extend(*self._held)


def _delivery_of(row: Row) -> Delivery:
    headers = row.headers
    return Delivery(
        row.body,
        row.routing_key,
        int(headers.get(ATTEMPTS, 0)),
        str(headers.get(FIRST_FAILED_AT, "")),
        str(headers.get(FORCE_HEADER, "")),
        row.deliveries - 1,
        row,
    )
