"""Follow the archive: the events after a position, as they come, without taking them from anybody's queue."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from gateway.backends import open_archive
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.queues.archive import NotThere
from gateway.transport.topic_patterns import matches

_OVERLAP = 60.0
"""Seconds before a position's moment from which the archive is read: gateways' and brokers' clocks differ."""

MAX_READ = 5000
"""Events that are looked at in one call. The call after it goes on where it ended."""


class Position(NamedTuple):
    """Where somebody is in the archive.

    Attributes:
        place: The last event that was seen; -1 for none.
        at: When it was received, in Unix seconds; events before the overlap are not read again.
    """

    place: int
    at: float


class FollowedEvent(NamedTuple):
    """An event of the archive.

    Attributes:
        key: Its routing key.
        body: The CloudEvent in JSON.
    """

    key: str
    body: bytes


class Followed(NamedTuple):
    """What came after a position.

    Attributes:
        events: The events that match, oldest first.
        position: Where the next call goes on.
    """

    events: list[FollowedEvent]
    position: Position


async def follow(
    config: Config, position: Position, patterns: Sequence[str] = (), *, limit: int = 100
) -> Followed:
    """Return the events after a position, as many as there are and as fit.

    Args:
        config: The configuration.
        position: Where to go on. With the place -1, events that were received at its moment or later are returned.
        patterns: Patterns over routing keys, any of which an event matches; none for all.
        limit: The most events to return.

    Raises:
        OperatorError: There is no archive.
        OSError: It cannot be read.
    """
    if not config.archive.enabled:
        raise OperatorError(
            "there is no archive to follow: set archive.enabled to true, and start the gateway again"
        )
    events: list[FollowedEvent] = []
    read = 0
    overlap = 0.0 if position.place < 0 else _OVERLAP
    try:
        async with (
            open_archive(config) as archive,
            aclosing(archive.read(max(position.at - overlap, 0.0))) as archived,
        ):
            async for each in archived:
                if each.place <= position.place:
                    continue
                received_at = each.received_at
                if position.place < 0 and (received_at or 0.0) < position.at:
                    continue  # a broker may return a few older ones first
                position = Position(each.place, max(position.at, received_at or 0.0))
                key = each.message.routing_key
                if not patterns or any(matches(pattern, key) for pattern in patterns):
                    events.append(FollowedEvent(key, each.message.body))
                read += 1
                if len(events) >= limit or read >= MAX_READ:
                    break
    except NotThere:
        return Followed([], position)  # nothing was published yet
    return Followed(events, position)
