"""The consumer: drains every queue into the book, through whatever happens to the broker."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from ledger.book import Book
from ledger.events import ROUTED, Events
from support.inbox import data_of

QUEUES = ("ledger", "webhooks.unrouted", "webhooks.quarantine")
_PREFETCH = 500
_ACKNOWLEDGE_EVERY = 100
_AT_LEAST_EVERY = 0.2
_RECONNECT_AFTER = 0.3
_PATIENCE = 10.0


async def bind_queue(url: str) -> None:
    """Make a queue for the events of most providers; those of the others are unrouted."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUES[0], durable=True, arguments={"x-queue-type": "quorum"})
        for provider in ROUTED:
            await queue.bind("webhooks", f"{provider}.#")


class Consumer:
    """Reads all queues of a broker.

    What was received and not yet acknowledged when a connection ended comes again, which makes it no copy: so
    many of the last messages of each connection are remembered as the broker may have left unacknowledged.

    Args:
        url: of the broker.
        events: what may come.
        book: what takes note.
    """

    def __init__(self, url: str, events: Events, book: Book) -> None:
        self._url = url
        self._events = events
        self._book = book
        self._in_doubt: list[Counter[str | None]] = [Counter() for _ in QUEUES]

    async def run(self) -> None:
        """Consume until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(len(QUEUES)):
                group.create_task(self._keep_draining(index))

    async def is_drained(self) -> bool:
        """Whether nothing waits in any queue."""
        async with await aio_pika.connect(self._url, timeout=_PATIENCE) as connection:
            channel = await connection.channel()
            declared = [await channel.declare_queue(queue, passive=True) for queue in QUEUES]
        return not any(queue.declaration_result.message_count for queue in declared)

    async def _keep_draining(self, index: int) -> None:
        while True:
            last: deque[str | None] = deque(maxlen=_PREFETCH)
            # Whatever ends a connection, the answer is the next one.
            with suppress(OSError, RuntimeError, TimeoutError, aio_pika.exceptions.AMQPError):
                async with await aio_pika.connect(self._url, timeout=_PATIENCE, heartbeat=10) as connection:
                    await self._drain(index, await connection.channel(), last)
            self._in_doubt[index] = Counter(last)
            await asyncio.sleep(_RECONNECT_AFTER)

    async def _drain(self, index: int, channel: AbstractChannel, last: deque[str | None]) -> None:
        await channel.set_qos(prefetch_count=_PREFETCH)
        queue = await channel.get_queue(QUEUES[index])
        unacknowledged: list[AbstractIncomingMessage] = []

        async def acknowledge() -> None:
            newest = unacknowledged[-1]
            unacknowledged.clear()
            await newest.ack(multiple=True)

        async def take(message: AbstractIncomingMessage) -> None:
            self._take(index, message)
            last.append(message.message_id)
            unacknowledged.append(message)
            if len(unacknowledged) >= _ACKNOWLEDGE_EVERY:
                await acknowledge()

        await queue.consume(take)
        while not channel.is_closed:
            await asyncio.sleep(_AT_LEAST_EVERY)
            if unacknowledged:
                await acknowledge()

    def _take(self, index: int, message: AbstractIncomingMessage) -> None:
        event_id = message.message_id
        if message.redelivered and self._in_doubt[index][event_id]:
            self._in_doubt[index][event_id] -= 1
            return
        number = self._events.number(event_id)
        if number is None or number >= self._book.events:
            self._book.strangers.append(f"{event_id} in {QUEUES[index]}")
            return
        self._book.arrived(number, index)
        if data_of(message.body) != self._events.body(number):
            self._book.garbled.append(number)
