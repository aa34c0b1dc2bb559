"""The port to the queues from which the way out takes events.

There are two: the gateway's own events, of which the queue gets those that an endpoint wants, and the events that agents
emit, of which it gets all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

OUTBOUND_SUFFIX = ".outbound"
"""The end of the name of the queue of the way out, after that of its exchange."""

AGENTS_EXCHANGE = "agents"
"""The topic exchange of the events that agents emit."""

VIOLATIONS_HEADER = "violations"
"""The header of a quarantined message that says why it cannot be delivered."""

MAX_PATTERNS = 256
"""Patterns that a queue is bound with. Beyond that it gets all events, and those that no endpoint wants are dropped."""

PREFETCH = 500
"""Messages that the way out holds without having written them: what a slow database pushes back into the queue."""


_PATTERN = re.compile(r"[A-Za-z0-9_.*#-]+")
"""What a pattern must be made of to match any routing key."""


class Arrival(NamedTuple):
    """A message that was received and awaits its acknowledgement.

    Attributes:
        body: What it carries, as it came.
        routing_key: `<provider or agent>.<event type>`.
        tag: The queue's own handle for the message.
    """

    body: bytes
    routing_key: str
    tag: object


class Intake(Protocol):
    """Receives the messages of one queue, oldest first. One that is not acknowledged is received again.

    Every method raises OSError when the broker is lost; the queue has to be opened again then.
    """

    async def bind(self, patterns: Collection[str]) -> None:
        """Have the queue get the events that match one of these patterns, and no others."""

    async def receive(self, limit: int) -> list[Arrival]:
        """Wait for messages; return at least one and at most ``limit`` of them."""

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Remove messages, in the order in which they were received: they are written, or quarantined."""

    async def quarantine(self, arrival: Arrival, violations: str) -> None:
        """Put a copy into the quarantine; the message itself has to be acknowledged after that."""


def needed_patterns(patterns: Collection[str]) -> frozenset[str]:
    """Return the patterns that a queue is bound with so that it gets what matches one of ``patterns``."""
    found = frozenset(each for each in patterns if _PATTERN.fullmatch(each))
    return found if len(found) <= MAX_PATTERNS and "#" not in found else frozenset({"#"})
