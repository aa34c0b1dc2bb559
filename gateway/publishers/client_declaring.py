"""Declare queues over a connection of aio-pika, for readers of the gateway's own queues."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from aio_pika.abc import AbstractConnection

from gateway.publishers.declaration import Part, declare
from gateway.transport.amqp_client import DeclaringChannel

log = structlog.get_logger()


async def declare_over(connection: AbstractConnection, parts: Sequence[Part], user: str) -> None:
    """Declare parts of a topology over a connection, and log what exists already and differs.

    Args:
        connection: The connection.
        parts: What to declare, in this order.
        user: Its user, whom errors name.

    Raises:
        OSError: The broker refuses something that is needed.
    """
    channel = DeclaringChannel(connection)
    declared = await declare(channel, parts, user)
    await channel.close()
    for warning in declared.warnings:
        log.info("broker differs from what is declared", server="rabbitmq", cause=warning)
