"""A consumer's side of RabbitMQ: a queue of its own, and what is found in it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, DeliveryMode

from support.waiting import PATIENCE, wait_until

_DATA = b',"data":'


@dataclass(frozen=True)
class Arrival:
    """One message as a consumer gets it."""

    body: bytes
    routing_key: str
    message_id: str | None
    type: str | None
    content_type: str | None
    app_id: str | None
    is_persistent: bool
    headers: dict[str, Any]

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent."""
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def data(self) -> bytes:
        """The bytes of the sender's body within the CloudEvent."""
        return data_of(self.body)


def data_of(body: bytes) -> bytes:
    """Return the bytes of ``data`` in a CloudEvent, whose last member it is."""
    return body.partition(_DATA)[2].removesuffix(b"}")


class Inbox:
    """A durable queue bound to an exchange that a gateway has made.

    Args:
        url: of RabbitMQ.
        queue: its name; one that is there already, such as ``webhooks.unrouted``, is read as it is.
        pattern: the binding to make first, if any.
        exchange: what it is bound to.
        arguments: of a queue that is not there yet.
    """

    def __init__(
        self,
        url: str,
        queue: str = "inbox",
        pattern: str | None = "#",
        exchange: str = "webhooks",
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self._url = url
        self._queue = queue
        self._arguments = arguments
        if pattern is not None:
            asyncio.run(self._bind(exchange, pattern))

    def take_all(self) -> list[Arrival]:
        """Everything that is in the queue, which is empty afterwards."""
        return asyncio.run(self._take_all())

    def take(self, count: int, timeout: float = PATIENCE) -> list[Arrival]:
        """Everything, once ``count`` messages have come."""
        taken: list[Arrival] = []

        def has_come() -> bool:
            taken.extend(self.take_all())
            return len(taken) >= count

        wait_until(has_come, timeout, f"{count} messages came to {self._queue}")
        return taken

    def take_distinct(self, count: int, timeout: float = PATIENCE) -> list[Arrival]:
        """Wait for ``count`` different events, and return all messages, copies included."""
        taken: list[Arrival] = []

        def has_come() -> bool:
            taken.extend(self.take_all())
            return len({arrival.message_id for arrival in taken}) >= count

        wait_until(has_come, timeout, f"{count} different messages came to {self._queue}")
        return taken

    async def _bind(self, exchange: str, pattern: str) -> None:
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(self._queue, durable=True, arguments=self._arguments)
            await queue.bind(exchange, pattern)

    async def _take_all(self) -> list[Arrival]:
        arrivals: list[Arrival] = []
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            while count := await self._count(channel):
                queue = await channel.get_queue(self._queue, ensure=False)
                found: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
                tag = await queue.consume(found.put, no_ack=True)
                arrivals += [_arrival(await asyncio.wait_for(found.get(), PATIENCE)) for _ in range(count)]
                await queue.cancel(tag)
                while not found.empty():
                    arrivals.append(_arrival(found.get_nowait()))
        return arrivals

    async def _count(self, channel: AbstractChannel) -> int:
        queue = await channel.declare_queue(self._queue, passive=True)
        return queue.declaration_result.message_count or 0


def _arrival(message: AbstractIncomingMessage) -> Arrival:
    return Arrival(
        message.body,
        message.routing_key or "",
        message.message_id,
        message.type,
        message.content_type,
        message.app_id,
        message.delivery_mode is DeliveryMode.PERSISTENT,
        dict(message.headers),
    )


def ids(arrivals: Iterable[Arrival]) -> Counter[str | None]:
    """How often each event arrived."""
    return Counter(arrival.message_id for arrival in arrivals)
