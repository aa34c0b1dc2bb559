"""How large a message RabbitMQ takes, found out without publishing one.

RabbitMQ does not tell its ``max_message_size`` (16 MiB by default since 4.0, 128 MiB before), but names it when it refuses a
larger message. The probe has an expiration that RabbitMQ refuses too, after it has looked at the size.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aio_pika.exceptions import AMQPError
from pamqp import commands

from gateway.publishers.declaration import INVALID_EXPIRATION
from gateway.transport.amqp_client import DeclaringChannel, open_amqp, os_errors
from gateway.transport.amqp_errors import PRECONDITION_FAILED, BrokerRefusal
from gateway.transport.amqp_nodes import BrokerNodes

_TIMEOUT = 30.0
"""Seconds to connect and to send the probe, which may have tens of megabytes."""


async def smaller_limit(nodes: BrokerNodes, exchange: str, size: int) -> int | None:
    """Return the limit of the broker in bytes if a message of ``size`` bytes is beyond it, else None.

    Args:
        nodes: The broker.
        exchange: An exchange to which the user may publish.
        size: The bytes of the body of the probe.

    Raises:
        OSError: The broker cannot be reached, or refuses the probe for another reason.
    """
    with os_errors():
        async with asyncio.timeout(_TIMEOUT):
            connection = await open_amqp(nodes)
            try:
                return await _probe(DeclaringChannel(connection), exchange, size)
            finally:
                with suppress(AMQPError, OSError, RuntimeError):
                    await connection.close()


async def _probe(channel: DeclaringChannel, exchange: str, size: int) -> int | None:
    properties = commands.Basic.Properties(expiration=INVALID_EXPIRATION)
    try:
        await channel.publish(exchange, properties, bytes(size))
    except BrokerRefusal as refusal:
        if (limit := refusal.message_limit) is not None:
            return limit
        if refusal.code != PRECONDITION_FAILED:
            raise
    return None
