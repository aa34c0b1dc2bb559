"""A message: one event in a queue, and the names of its AMQP properties and headers."""

from __future__ import annotations

from dataclasses import dataclass

CONTENT_TYPE = "application/cloudevents+json"
"""The content type of every message: one CloudEvent in JSON, in the structured mode of the AMQP binding."""

APP_ID = "webhook-gateway"
"""The AMQP app-id of every message, and the product name that our connections give to the broker."""

FORCE_HEADER = "x-replay-force"
"""The header with the id of a forced replay: the worker handles the event again, once per id."""

ROUTING_KEY_HEADER = "x-routing-key"
"""The header with the original routing key of a message that was published to a queue by the queue's name."""


@dataclass(slots=True)
class Message:
    """One event on its way to an exchange. Every text, headers included, has at most 255 bytes.

    Attributes:
        exchange: The exchange that the message is published to.
        routing_key: ``<provider>.<event type>``.
        message_id: The CloudEvents id.
        type: The CloudEvents type.
        headers: What consumers and operators filter by without reading the body.
        body: The CloudEvent in JSON.
    """

    exchange: str
    routing_key: str
    message_id: str
    type: str
    headers: dict[str, str]
    body: bytes
