"""Replay: deliver archived events to one queue again.

An event is in the archive from its publisher confirm on. Events that were published before the archive was enabled,
or that are older than its retention, cannot be replayed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from gateway.events.message import FORCE_HEADER, Message
from gateway.events.strict_json import load_event
from gateway.queues.filter import EventFilter, received_at_of

REPLAYED_HEADER = "x-replayed"
"""The header that marks a replayed message, for consumers that do not read the body."""

_BATCH_SIZE = 100
"""Messages that are read before the confirms of the selected ones are awaited together."""

_MAX_BATCH_BYTES = 4 * 1024**2
"""Bytes of selected bodies after which confirms are awaited, to bound memory; a single message may exceed it."""


class NotThere(Exception):
    """Raised when the archive or the target queue does not exist."""


class Archived(NamedTuple):
    """A message in the archive.

    Attributes:
        place: Its position, a number that grows with each event.
        message: The message as it was published.
    """

    place: int
    message: Message

    @property
    def message_id(self) -> str:
        """The CloudEvents id."""
        return self.message.message_id

    @property
    def provider(self) -> str:
        """The provider's key, from the routing key: most events are rejected without parsing a body."""
        return self.message.routing_key.partition(".")[0]

    @property
    def word(self) -> str:
        """The event type as the routing key spells it."""
        return self.message.routing_key.partition(".")[2]

    @property
    def why(self) -> str:
        """Nothing: an event in the archive was published."""
        return ""

    @property
    def received_at(self) -> float | None:
        """When the event was received, in Unix seconds; None if the body is not an event."""
        return received_at_of(load_event(self.message.body))


class Archive(Protocol):
    """An open archive, and the queues beside it.

    Every method raises OSError if the broker fails; its text is for operators.

    Attributes:
        last: The position of about the last event, as of the begin of :meth:`read`. It serves as an end for progress,
            and is not exact: events may arrive meanwhile.
    """

    last: int

    def read(self, since: float) -> AsyncGenerator[Archived, None]:
        """Yield the events archived from ``since`` (Unix seconds) until now, oldest first.

        A few older events may come first.
        """

    async def open_queue(self, queue: str) -> None:
        """Prepare to deliver to ``queue``.

        Raises:
            NotThere: The queue does not exist.
        """

    def deliver(self, queue: str, message: Message) -> Awaitable[None]:
        """Put ``message`` into ``queue``, and wait until the broker has confirmed it.

        :meth:`open_queue` comes first.
        """


class Replay:
    """One run over the archive.

    Args:
        archive: The archive to read.
        event_filter: The events to replay, with the time from which the archive is read.
        deliver: Called with each of these messages. An exception that it raises ends the run.
        limit: The largest number of events to deliver; None for all.

    Attributes:
        first: The position of the first event that was read; None before that.
        place: The position of the last event that was read.
        read: The number of events that were read.
        delivered: The number of events that were selected and delivered.
    """

    def __init__(
        self,
        archive: Archive,
        event_filter: EventFilter,
        deliver: Callable[[Message], Awaitable[None]],
        limit: int | None = None,
    ) -> None:
        self.first: int | None = None
        self.place = self.read = self.delivered = 0
        self._archive = archive
        self._filter = event_filter
        self._deliver = deliver
        self._limit = limit

    async def run(self, on_progress: Callable[[], None] = lambda: None) -> None:
        """Deliver the selected events in order.

        On cancellation, finish the deliveries that were begun.
        """
        batch: list[Message] = []
        async with aclosing(self._archive.read(self._filter.since)) as events:
            async for archived in events:
                self.place, self.read = archived.place, self.read + 1
                self.first = self.place if self.first is None else self.first
                if self._filter.accepts(archived):
                    batch.append(archived.message)
                is_enough = self._limit is not None and self.delivered + len(batch) >= self._limit
                if (
                    is_enough
                    or self.read % _BATCH_SIZE == 0
                    or sum(len(each.body) for each in batch) >= _MAX_BATCH_BYTES
                ):
                    await self._flush(batch)
                    batch = []
                    on_progress()
                if is_enough:
                    return
        await self._flush(batch)
        on_progress()

    async def _flush(self, batch: list[Message]) -> None:
        deliveries = asyncio.gather(*(self._deliver(message) for message in batch), return_exceptions=True)
        try:
            # Cancelled halfway, a delivery may or may not be in the queue, and the count would be wrong.
            await asyncio.shield(deliveries)
        finally:
            outcomes = await deliveries
            self.delivered += outcomes.count(None)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome


def mark_replayed(message: Message, *, is_forced: bool) -> Message:
    """Return ``message`` marked as replayed.

    The bytes of its event stay as they were, behind one more member.

    Args:
        message: A message of the archive.
        is_forced: Whether workers handle the event again though they have handled it before.
    """
    headers = {**message.headers, REPLAYED_HEADER: "true"}
    if is_forced:
        headers[FORCE_HEADER] = os.urandom(8).hex()
    return replace(message, headers=headers, body=b'{"replayed":true,' + message.body[1:])
