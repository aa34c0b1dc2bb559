"""Unrouted events: those that no queue was bound for when they were published."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from gateway.queues.dead_letters import DeadLetterQueue
from gateway.queues.filter import EventFilter, FilteredEvent
from gateway.transport.topic_patterns import key_pattern, matches, routing_pattern

MAX_COUNTED = 500
"""Unrouted events that a worker looks through when it starts. Beyond that it reports how many there are in all."""


@dataclass(frozen=True, slots=True)
class UnroutedFilter(EventFilter):
    """Conditions that an unrouted event has to meet.

    Attributes:
        patterns: Patterns of which one has to match: over routing keys, as workers have them, or over event types.
    """

    patterns: tuple[str, ...] = ()

    @override
    def accepts(self, event: FilteredEvent) -> bool:
        return EventFilter.accepts(self, event) and self._is_routed(event)

    def _is_routed(self, event: FilteredEvent) -> bool:
        if not self.patterns:
            return True
        event_type, routing_key = event.word, f"{event.provider}.{event.word}"
        return any(
            matches(key_pattern(pattern), event_type) or matches(routing_pattern(pattern), routing_key)
            for pattern in self.patterns
        )


@dataclass(frozen=True, slots=True)
class WaitingEvents:
    """The unrouted events when a worker starts.

    Attributes:
        total: Their number.
        matching: The number of those that match the worker's patterns; None if there are too many to look through.
    """

    total: int
    matching: int | None


async def count_waiting(unrouted: DeadLetterQueue, patterns: Sequence[str]) -> WaitingEvents:
    """Count the unrouted events that match one of ``patterns`` over routing keys."""
    if unrouted.size > MAX_COUNTED:
        return WaitingEvents(unrouted.size, None)
    matching = 0
    async for letter in unrouted.browse():
        matching += any(matches(pattern, letter.routing_key) for pattern in patterns)
    return WaitingEvents(unrouted.size, matching)


def route_command(queue: str, patterns: Sequence[str]) -> str:
    """Return the command that moves the unrouted events that match ``patterns`` into ``queue``."""
    events = (word for pattern in patterns for word in ("--event", pattern))
    return shlex.join(["gateway", "unrouted", "route", "--to", queue, *events])
