"""A tail of the events that are published to RabbitMQ."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractQueueIterator
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused

from gateway.transport.amqp_client import open_amqp
from gateway.transport.amqp_nodes import BrokerNodes


@asynccontextmanager
async def tail_broker(nodes: BrokerNodes, exchange: str, pattern: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the bodies of events published from now on whose routing key matches ``pattern``.

    They are read through a queue of its own, which RabbitMQ deletes with the connection.

    Raises:
        OSError: The broker cannot be reached, the exchange does not exist, or the user may not declare the queue.
    """
    # Named after the exchange, so that a user with permissions for the exchange's names alone may declare it.
    name = f"{exchange}.tail.{os.urandom(6).hex()}"
    try:
        async with await open_amqp(nodes) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(name, exclusive=True, auto_delete=True)
            await queue.bind(await channel.get_exchange(exchange), pattern)
            async with queue.iterator(no_ack=True) as messages:
                yield _bodies(messages)
    except ChannelAccessRefused as error:
        raise ConnectionError(
            f"user {nodes.user!r} may not read along; it takes configure, write and read on queues "
            f"{exchange}.tail.*, and read on exchange {exchange} (RabbitMQ: {error})"
        ) from None
    except AMQPError as error:
        raise ConnectionError(str(error)) from error


async def _bodies(messages: AbstractQueueIterator) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message.body
