"""Reading events from RabbitMQ with aio-pika."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractQueueIterator
from aio_pika.exceptions import AMQPError


@asynccontextmanager
async def tail_broker(url: str, exchange: str, pattern: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """See :func:`gateway.consumers.tail`; by a queue that ends with the connection."""
    try:
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True, auto_delete=True)
            await queue.bind(await channel.get_exchange(exchange), pattern)
            async with queue.iterator(no_ack=True) as messages:
                yield _bodies(messages)
    except AMQPError as error:
        raise ConnectionError(str(error)) from error


async def _bodies(messages: AbstractQueueIterator) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message.body
