"""Consumers in RabbitMQ that are not workers of this program."""

from __future__ import annotations

import aio_pika


async def is_consumed(url: str, queue: str) -> bool:
    """Return whether the queue has a consumer, and so its bindings."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        found = await channel.declare_queue(queue, passive=True)
        return bool(found.declaration_result.consumer_count)
