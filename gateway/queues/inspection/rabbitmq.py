"""The queues of RabbitMQ by passive declarations.

A passive declaration tells how many messages are ready, and how many consumers there are. AMQP has no way to list queues,
nor to tell how many messages are unacknowledged or where a queue is; :mod:`gateway.queues.inspection.management` does all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from typing_extensions import override

from gateway.queues.inspection import TIMEOUT, FoundMessage, QueueDepth, QueueInspection, QueueMembers
from gateway.transport.amqp_client import open_amqp
from gateway.transport.amqp_nodes import BrokerNodes


class RabbitInspection(QueueInspection):
    """The queues of a broker, on one connection."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    @override
    async def names(self) -> list[str] | None:
        return None

    @override
    async def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        try:
            async with asyncio.timeout(TIMEOUT):
                return [depth for name in dict.fromkeys(names) if (depth := await self._depth(name))]
        except TimeoutError:
            raise OSError(f"RabbitMQ did not answer within {TIMEOUT:g} s") from None
        except AMQPError as error:
            raise OSError(f"RabbitMQ: {error}") from error

    async def _depth(self, name: str) -> QueueDepth | None:
        # The broker closes the channel on which it was asked for a queue that does not exist.
        channel = await self._connection.channel()
        try:
            found = (await channel.declare_queue(name, passive=True)).declaration_result
        except ChannelNotFoundEntity:
            return None
        await channel.close()
        return QueueDepth(name, found.message_count or 0, consumers=found.consumer_count or 0)

    @override
    async def members(self) -> list[QueueMembers] | None:
        return None

    @override
    async def find(self, provider: str, message_id: str) -> list[FoundMessage] | None:
        return None


@asynccontextmanager
async def inspect_broker(nodes: BrokerNodes) -> AsyncIterator[RabbitInspection]:
    """Open the queues of a broker.

    Raises:
        OSError: The broker cannot be reached.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            connection = await open_amqp(nodes)
    except TimeoutError:
        raise OSError(f"RabbitMQ did not answer within {TIMEOUT:g} s") from None
    try:
        yield RabbitInspection(connection)
    finally:
        with suppress(AMQPError, OSError):
            await connection.close()
