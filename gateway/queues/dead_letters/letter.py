"""A dead letter: an event that waits for an operator, and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway.events.message import (
    ATTEMPTS,
    EXCEPTION,
    EXCEPTION_AT,
    FIRST_FAILED_AT,
    LAST_FAILED_AT,
    QUEUE,
    REASON,
)
from gateway.events.strict_json import load_event
from gateway.queues.filter import received_at_of
from gateway.transport.topic_patterns import key_segment

_FACTS = {
    ATTEMPTS: "attempts",
    REASON: "reason",
    EXCEPTION: "exception",
    EXCEPTION_AT: "exception_at",
    FIRST_FAILED_AT: "first_failed_at",
    LAST_FAILED_AT: "last_failed_at",
    "violations": "violations",
}
"""The headers that give the reason, with their names in output for programs."""

_FAILURE_HEADERS = (ATTEMPTS, REASON, EXCEPTION, EXCEPTION_AT, QUEUE)
"""Headers that workers add to an event that failed."""

_FAILURE_PREFIXES = ("x-first-", "x-last-", "x-death", "x-delivery-count")
"""How the names of further such headers begin, those that RabbitMQ adds among them."""


@dataclass(frozen=True)
class DeadLetter:
    """An event in a queue of dead letters.

    Attributes:
        handle: The queue's own reference to the event.
        routing_key: The routing key with which the event was last published.
        message_id: The CloudEvents id.
        headers: The headers of the message; some give the reason.
        body: The CloudEvent in JSON.
    """

    handle: Any
    routing_key: str
    message_id: str
    headers: Mapping[str, Any]
    body: bytes

    @cached_property
    def event(self) -> dict[str, Any]:
        """The CloudEvent; empty if the body is not an event, as other programs can publish here."""
        return load_event(self.body)

    @property
    def provider(self) -> str:
        """The provider's key in the configuration."""
        return str(self.event.get("provider", ""))

    @property
    def event_type(self) -> str:
        """The event type as the provider spells it."""
        return str(self.event.get("eventtype", ""))

    @property
    def word(self) -> str:
        """The event type as routing keys and patterns spell it; empty if the event has no type."""
        return key_segment(self.event_type) if self.event_type else ""

    @property
    def when(self) -> str:
        """The time of the last failure, or else of receipt, in RFC 3339."""
        return str(self.headers.get(LAST_FAILED_AT) or self.event.get("receivedat", ""))

    @property
    def why(self) -> str:
        """The schema rules that the event breaks, or the error of its handler."""
        error, place = self.headers.get(EXCEPTION), self.headers.get(EXCEPTION_AT)
        named = (self.headers.get("violations"), f"{error} at {place}" if error and place else error)
        return ": ".join(str(text) for text in (*named, self.headers.get(REASON)) if text)

    @property
    def received_at(self) -> float | None:
        """When the gateway received the event, in Unix seconds; None if the body is not an event."""
        return received_at_of(self.event)

    def facts(self) -> dict[str, Any]:
        """Return the event's attributes and the reason, for output that programs read."""
        facts = {name: self.headers[header] for header, name in _FACTS.items() if header in self.headers}
        return {
            "id": self.message_id,
            "provider": self.provider,
            "eventtype": self.event_type,
            "receivedat": self.event.get("receivedat"),
            **facts,
        }

    def headers_without_failure(self) -> dict[str, Any]:
        """Return the headers without failure metadata."""
        return {
            name: value
            for name, value in self.headers.items()
            if name not in _FAILURE_HEADERS and not name.startswith(_FAILURE_PREFIXES)
        }
