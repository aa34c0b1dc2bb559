"""A message: one event in a queue, and the names of its AMQP properties and headers."""

from __future__ import annotations

import msgspec

CONTENT_TYPE = "application/cloudevents+json"
"""The content type of every message: one CloudEvent in JSON, in the structured mode of the AMQP binding."""

APP_ID = "webhook-gateway"
"""The AMQP app-id of every message, and the product name that our connections give to the broker."""

FORCE_HEADER = "x-replay-force"
"""The header with the id of a forced replay: the worker handles the event again, once per id."""

ROUTING_KEY_HEADER = "x-routing-key"
"""The header with the original routing key of a message that was published to a queue by the queue's name."""

ATTEMPTS = "x-attempts"
"""The header that counts how often a handler has failed with the event."""

FIRST_FAILED_AT = "x-first-failed-at"
"""The header with the time of the first failure, in RFC 3339."""

LAST_FAILED_AT = "x-last-failed-at"
"""The header with the time of the last failure, in RFC 3339."""

REASON = "x-reason"
"""The header that says why the worker gave the event up."""

EXCEPTION = "x-exception"
"""The header with the class of the handler's last error."""

EXCEPTION_AT = "x-exception-at"
"""The header with the file and line of the handler's last error."""

QUEUE = "x-queue"
"""The header with the name of the queue whose worker gave the event up."""

DEAD_SUFFIX = ".dead"
"""Appended to the name of a worker's queue, this names its dead-letter queue."""


class Message(msgspec.Struct):
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
