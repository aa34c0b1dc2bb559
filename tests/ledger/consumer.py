"""The consumer: drains every queue into the book, through whatever happens to the broker."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldValue

from ledger.book import Book
from ledger.events import ROUTED, Events
from support.inbox import data_of

QUEUES = ("ledger", "webhooks.unrouted", "webhooks.quarantine")
_PREFETCH = 500
_ACKNOWLEDGE_EVERY = 100
_ACKNOWLEDGE_DELAY = 0.2
_RECONNECT_AFTER = 0.3
_CONNECT_TIMEOUT = 10.0
_FAILURES = (OSError, RuntimeError, TimeoutError, aiormq.AMQPError)  # a closed channel is a RuntimeError


class Consumer:
    """Reads all queues of a broker.

    What was received and not yet acknowledged when a connection ended comes again, which makes it no copy: so
    many of the last messages of each connection are remembered as the broker may have left unacknowledged.

    Args:
        urls: of the broker, or of each of its nodes.
        events: what may come.
        book: what takes note.
    """

    def __init__(self, urls: list[str], events: Events, book: Book) -> None:
        self._urls = urls
        self._events = events
        self._book = book
        self._in_doubt: list[Counter[str | None]] = [Counter() for _ in QUEUES]

    async def bind_queue(self) -> None:
        """Make a queue for the events of most providers; those of the others are unrouted."""
        arguments: dict[str, FieldValue] = {"x-queue-type": "quorum", "x-quorum-initial-group-size": 3}
        async with self._channel() as channel:
            await channel.queue_declare(QUEUES[0], durable=True, arguments=arguments)
            for provider in ROUTED:
                await channel.queue_bind(QUEUES[0], "webhooks", f"{provider}.#")

    async def run(self) -> None:
        """Consume until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(len(QUEUES)):
                group.create_task(self._keep_draining(index))

    async def is_drained(self) -> bool:
        """Whether nothing waits in any queue."""
        async with self._channel() as channel:
            declared = [await channel.queue_declare(queue, passive=True) for queue in QUEUES]
        return not any(queue.message_count for queue in declared)

    async def _keep_draining(self, index: int) -> None:
        while True:
            last: deque[str | None] = deque(maxlen=_PREFETCH)
            # Whatever ends a connection, the answer is the next one.
            with suppress(*_FAILURES):
                async with self._channel() as channel:
                    await self._drain(index, channel, last)
            if last:  # else the broker is still away, and what was in doubt still is
                self._in_doubt[index] = Counter(last)
            await asyncio.sleep(_RECONNECT_AFTER)

    async def _drain(self, index: int, channel: aiormq.abc.AbstractChannel, last: deque[str | None]) -> None:
        received = acknowledged = 0

        async def acknowledge() -> None:
            nonlocal acknowledged
            acknowledged = received
            await channel.basic_ack(received, multiple=True)

        async def take(message: DeliveredMessage) -> None:
            nonlocal received
            assert message.delivery_tag is not None
            received = message.delivery_tag
            self._take(index, message)
            last.append(message.header.properties.message_id)
            if received - acknowledged >= _ACKNOWLEDGE_EVERY:
                await acknowledge()

        await channel.basic_qos(prefetch_count=_PREFETCH)
        await channel.basic_consume(QUEUES[index], take)
        while not channel.is_closed:
            await asyncio.sleep(_ACKNOWLEDGE_DELAY)
            if received > acknowledged:
                await acknowledge()

    def _take(self, index: int, message: DeliveredMessage) -> None:
        event_id = message.header.properties.message_id
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

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[aiormq.abc.AbstractChannel]:
        connection = aiormq.Connection(random.choice(self._urls))
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await connection.connect()
                channel = await connection.channel(publisher_confirms=False)
            yield channel
        finally:
            with suppress(*_FAILURES):
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    await connection.close()
