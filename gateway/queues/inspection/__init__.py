"""Look at queues from outside: how much is in them, and who reads it. Nothing is taken out, and no order is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

TIMEOUT = 2.0
"""Seconds that a broker may take to answer all questions."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How much is in a queue.

    Attributes:
        name: Its name.
        ready: Messages that wait for a consumer.
        unacknowledged: Messages that consumers have; None if the broker does not say.
        delayed: Messages that wait for their next attempt; None if the broker keeps them elsewhere.
        consumers: Its consumers; None if the broker does not say.
        oldest_at: When the gateway received the oldest of its messages, in Unix seconds; None if that is not known.
    """

    name: str
    ready: int
    unacknowledged: int | None = None
    delayed: int | None = None
    consumers: int | None = None
    oldest_at: float | None = None


@dataclass(frozen=True, slots=True)
class QueueMembers:
    """On which nodes of a cluster a queue is.

    Attributes:
        name: Its name.
        members: The nodes that have a copy of it.
        online: Those of them that can be reached.
        leader: The node that decides what is in it; empty while there is none.
    """

    name: str
    members: tuple[str, ...]
    online: tuple[str, ...]
    leader: str


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message in a queue, as it is.

    Attributes:
        queue: The name of the queue.
        routing_key: ``<provider>.<event type>``.
        headers: Its headers.
        body: The CloudEvent in JSON.
    """

    queue: str
    routing_key: str
    headers: dict[str, str | int]
    body: bytes


class QueueInspection(Protocol):
    """The queues of one broker. Each method raises OSError if the broker does not answer; its text is for operators."""

    async def names(self) -> list[str] | None:
        """Return the names of all queues of this gateway; None if this user cannot list them."""

    async def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        """Return how much is in those of the queues that exist."""

    async def members(self) -> list[QueueMembers] | None:
        """Return where each replicated queue is, in the order of their names; None if the broker does not say."""

    async def find(self, provider: str, message_id: str) -> list[FoundMessage] | None:
        """Return the messages of an event in any queue; None if that cannot be read without taking messages out."""
