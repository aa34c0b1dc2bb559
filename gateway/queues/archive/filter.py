"""Which events are replayed, and how it is told of them that they were."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.events.message import FORCE_HEADER, Message
from gateway.events.strict_json import load_event
from gateway.transport.topic_patterns import key_pattern, matches

REPLAYED_HEADER = "x-replayed"


@dataclass(frozen=True, slots=True)
class Selection:
    """What an event has to be.

    Attributes:
        since: received then or later, in Unix seconds.
        until: received then or earlier.
        provider: of this provider; of any when None.
        event: of an event type that this pattern of a topic exchange matches.
        ids: with one of these ids; with any when there are none.
    """

    since: float
    until: float
    provider: str | None = None
    event: str = "#"
    ids: Collection[str] = ()

    def takes(self, message: Message) -> bool:
        """Whether ``message`` is selected. What is no event is not."""
        if self.ids and message.message_id not in self.ids:
            return False
        if not matches(f"{self.provider or '*'}.{key_pattern(self.event)}", message.routing_key):
            return False
        received_at = received_at_of(message.body)
        return received_at is not None and self.since <= received_at <= self.until


def received_at_of(body: bytes) -> float | None:
    """When the event was received, in Unix seconds; None when that is no event."""
    try:
        return datetime.fromisoformat(load_event(body)["receivedat"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None


def marked(message: Message, *, is_forced: bool) -> Message:
    """``message`` as one that is replayed; the bytes that its event had are in it unchanged."""
    headers = {**message.headers, REPLAYED_HEADER: "true"}
    if is_forced:
        headers[FORCE_HEADER] = os.urandom(8).hex()
    return replace(message, headers=headers, body=b'{"replayed":true,' + message.body[1:])
