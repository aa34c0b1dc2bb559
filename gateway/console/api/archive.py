"""The archive, as programs follow it: `gateway listen` on another machine does."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.console.api.cursors import make_text_cursor, open_text_cursor
from gateway.console.api.lists import Cursor
from gateway.console.api.operation import Call, Operation
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.operations.following import Followed, Position, follow
from gateway.transport.topic_patterns import routing_pattern

_MAX_WAIT = 25.0
"""Seconds for which a call waits for an event: proxies cut off what says nothing for longer."""

_POLL_DELAY = 1.0
"""Seconds between two looks into the archive while a call waits."""


class ArchiveParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events, and since when.

    Attributes:
        cursor: The `next` of the call before.
        since: Without a cursor, the earliest time of receipt, in Unix seconds; by default now.
        match: A pattern over routing keys, such as `stripe.invoice.*`.
        limit: The most events to return.
        wait: Seconds to wait until there is an event.
    """

    cursor: Cursor = ""
    since: float | None = None
    match: Annotated[str, Meta(max_length=255)] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 100
    wait: Annotated[float, Meta(ge=0, le=_MAX_WAIT)] = 0.0


class ArchivedEvent(msgspec.Struct):
    """An event of the archive.

    Attributes:
        key: Its routing key.
        event: The CloudEvent.
    """

    key: str
    event: msgspec.Raw


class ArchivePage(msgspec.Struct):
    """Events of the archive, oldest first.

    Attributes:
        data: The events.
        next: Where to go on; it is there even if no event is.
    """

    data: list[ArchivedEvent]
    next: str


async def _follow(call: Call) -> ArchivePage:
    parameters, config, signer = call.parameters, call.services.config(), call.services.access.signer
    if config.console.payloads == "off":
        raise Problem("forbidden", "the configuration lets nobody see payloads here (console.payloads)")
    if parameters.cursor:
        place, _, at = open_text_cursor(signer, "/archive", parameters.cursor).partition(" ")
        position = Position(int(place), float(at))
    else:
        position = Position(-1, time.time() if parameters.since is None else parameters.since)
    patterns = (routing_pattern(parameters.match),) if parameters.match else ()
    found = await _wait_for_events(call, position, patterns)
    if found.events:
        first = found.events[0].key
        more = f" and {len(found.events) - 1} more" if len(found.events) > 1 else ""
        await asyncio.to_thread(call.audit, "archive.follow", f"{first}{more}")
    cursor = make_text_cursor(signer, "/archive", f"{found.position.place} {found.position.at}")
    return ArchivePage([ArchivedEvent(each.key, msgspec.Raw(each.body)) for each in found.events], cursor)


async def _wait_for_events(call: Call, position: Position, patterns: tuple[str, ...]) -> Followed:
    ends_at = time.monotonic() + call.parameters.wait
    while True:
        found = await follow(call.services.config(), position, patterns, limit=call.parameters.limit)
        if found.events or time.monotonic() + _POLL_DELAY > ends_at:
            return found
        position = found.position
        await asyncio.sleep(_POLL_DELAY)


OPERATIONS = (
    Operation(
        method="GET",
        path="/archive",
        role=Role.OPERATOR,
        summary="Follow the archive: the events after a cursor, whole. Each look is in the audit.",
        handler=_follow,
        parameters=ArchiveParameters,
        result=ArchivePage,
        problems=("operation_failed", "invalid_cursor", "journal_unavailable"),
    ),
)
