"""Reading events from RabbitMQ with aio-pika."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika


async def tail_broker(url: str, exchange: str, pattern: str) -> AsyncIterator[bytes]:
    """See :func:`gateway.consumers.tail`; by a queue that ends with the connection."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(await channel.get_exchange(exchange), pattern)
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                yield message.body
