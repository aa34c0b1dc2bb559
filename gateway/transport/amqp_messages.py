"""Messages of RabbitMQ: how often one was redelivered, and how one is published again."""

from __future__ import annotations

from collections.abc import Mapping

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, FieldValue

RETURNS_HEADER = "x-delivery-count"
"""The header in which a quorum queue counts redeliveries (https://www.rabbitmq.com/docs/quorum-queues)."""


def returns_of(headers: Mapping[str, FieldValue]) -> int:
    """Return how often a message with these headers was delivered before without being settled."""
    count = headers.get(RETURNS_HEADER)
    return count if isinstance(count, int) else 0


def copy_of(message: AbstractIncomingMessage, headers: Mapping[str, FieldValue]) -> aio_pika.Message:
    """Return a persistent copy of ``message`` with these headers in place of its own."""
    return aio_pika.Message(
        message.body,
        headers=dict(headers),
        content_type=message.content_type,
        message_id=message.message_id,
        type=message.type,
        app_id=message.app_id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
