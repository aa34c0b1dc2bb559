"""Select events in a queue or in the archive, as an operator names them on the command line."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from gateway.transport.topic_patterns import key_pattern, matches


class FilteredEvent(Protocol):
    """What a filter reads of an event.

    A property that has to parse the body is read last, and only if needed.
    """

    @property
    def message_id(self) -> str:
        """The CloudEvents id."""

    @property
    def provider(self) -> str:
        """The key of the provider in the configuration."""

    @property
    def word(self) -> str:
        """The event type as routing keys and patterns spell it; empty if the event has no type."""

    @property
    def why(self) -> str:
        """Why the event is a dead letter or in quarantine; empty for an event that was published."""

    @property
    def received_at(self) -> float | None:
        """When the gateway received the event, in Unix seconds; None if the body is not an event."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions that an event has to meet, all of them. Without any, every event is accepted.

    Attributes:
        provider: The provider's key in the configuration.
        pattern: A topic-exchange pattern over event types.
        ids: Accepted CloudEvents ids; any id if empty.
        reason: Text that the reason contains, in upper or lower case.
        since: The earliest time of receipt, in Unix seconds.
        until: The latest time of receipt, in Unix seconds.
    """

    provider: str | None = None
    pattern: str | None = None
    ids: Collection[str] = ()
    reason: str | None = None
    since: float = -math.inf
    until: float = math.inf

    def accepts(self, event: FilteredEvent) -> bool:
        """Return whether ``event`` meets all conditions; without a time it meets none about times."""
        return (
            (not self.ids or event.message_id in self.ids)
            and (self.provider is None or event.provider == self.provider)
            and (self.pattern is None or matches(key_pattern(self.pattern), event.word))
            and (self.reason is None or self.reason.lower() in event.why.lower())
            and self._is_in_time(event)
        )

    def _is_in_time(self, event: FilteredEvent) -> bool:
        if math.isinf(self.since) and math.isinf(self.until):
            return True
        received_at = event.received_at
        return received_at is not None and self.since <= received_at <= self.until


def received_at_of(event: Mapping[str, Any]) -> float | None:
    """Return when ``event`` was received, in Unix seconds; None if it is not an event."""
    try:
        return datetime.fromisoformat(event["receivedat"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None
