"""One event that waits, and why it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway.events.message import ATTEMPTS, EXCEPTION, FIRST_FAILED_AT, LAST_FAILED_AT, QUEUE, REASON
from gateway.events.strict_json import load_event
from gateway.transport.topic_patterns import key_pattern, key_segment, matches

_FACTS = {
    ATTEMPTS: "attempts",
    REASON: "reason",
    EXCEPTION: "exception",
    FIRST_FAILED_AT: "first_failed_at",
    LAST_FAILED_AT: "last_failed_at",
    "violations": "violations",
}
"""The headers that say why, by the names under which they are told."""

_OF_DEATH = (ATTEMPTS, REASON, EXCEPTION, QUEUE)
_OF_DEATH_PREFIXES = ("x-first-", "x-last-", "x-death", "x-delivery-count")


@dataclass(frozen=True)
class DeadLetter:
    """An event in such a queue.

    Attributes:
        handle: what its queue knows it by.
        routing_key: the one that it was published with, at last.
        message_id: the CloudEvents id.
        headers: of the message, those that say why it is here among them.
        body: the CloudEvent in JSON.
    """

    handle: Any
    routing_key: str
    message_id: str
    headers: Mapping[str, Any]
    body: bytes

    @cached_property
    def event(self) -> dict[str, Any]:
        """The CloudEvent; empty when the body is none, whoever put it there."""
        return load_event(self.body)

    @property
    def provider(self) -> str:
        """Its provider's key in the configuration."""
        return str(self.event.get("provider", ""))

    @property
    def event_type(self) -> str:
        """The provider's own word."""
        return str(self.event.get("eventtype", ""))

    @property
    def word(self) -> str:
        """The event type as routing keys and patterns spell it; empty when there is none."""
        return key_segment(self.event_type) if self.event_type else ""

    @property
    def when(self) -> str:
        """When it came here: its last failure, or its arrival."""
        return str(self.headers.get(LAST_FAILED_AT) or self.event.get("receivedat", ""))

    @property
    def why(self) -> str:
        """What is wrong with it: the rules that it breaks, or what its handler said."""
        named = (self.headers.get(name) for name in ("violations", EXCEPTION, REASON))
        return ": ".join(str(text) for text in named if text)

    def facts(self) -> dict[str, Any]:
        """What there is to say of it, for programs."""
        facts = {name: self.headers[header] for header, name in _FACTS.items() if header in self.headers}
        return {
            "id": self.message_id,
            "provider": self.provider,
            "eventtype": self.event_type,
            "receivedat": self.event.get("receivedat"),
            **facts,
        }

    def lasting_headers(self) -> dict[str, Any]:
        """Its headers but for those that tell of its failures."""
        return {
            name: value
            for name, value in self.headers.items()
            if name not in _OF_DEATH and not name.startswith(_OF_DEATH_PREFIXES)
        }


@dataclass(frozen=True)
class Selection:
    """Which events are meant; all of them where nothing is said.

    Attributes:
        provider: those of this provider.
        pattern: those of a type that matches, as in topic exchanges.
        event_id: those with this id.
        reason: those with this in what is wrong with them, in upper or lower case.
    """

    provider: str | None = None
    pattern: str | None = None
    event_id: str | None = None
    reason: str | None = None

    def takes(self, held: DeadLetter) -> bool:
        """Whether it is meant."""
        return (
            (self.provider is None or held.provider == self.provider)
            and (self.pattern is None or matches(key_pattern(self.pattern), held.word))
            and (self.event_id is None or held.message_id == self.event_id)
            and (self.reason is None or self.reason.lower() in held.why.lower())
        )
