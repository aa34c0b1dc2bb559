"""Messages of RabbitMQ that come again, and how one is published again."""

from __future__ import annotations

from collections.abc import Mapping

import aio_pika
from aio_pika.abc import AbstractIncomingMessage, FieldValue

RETURNS_HEADER = "x-delivery-count"
"""Of a message that a quorum queue had back: how often."""


def returns_of(headers: Mapping[str, FieldValue]) -> int:
    """How often a message with these headers was delivered before and not settled."""
    count = headers.get(RETURNS_HEADER)
    return count if isinstance(count, int) else 0


def copy_of(message: AbstractIncomingMessage, headers: Mapping[str, FieldValue]) -> aio_pika.Message:
    """The message as a gateway published it, but with these headers."""
    return aio_pika.Message(
        message.body,
        headers=dict(headers),
        content_type=message.content_type,
        message_id=message.message_id,
        type=message.type,
        app_id=message.app_id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
