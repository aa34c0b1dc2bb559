"""Read an event where it is kept: in a dead-letter queue, the quarantine, the archive, the spool or a queue."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from gateway.backends import has_embedded_queue, open_archive, open_inspection
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.events.strict_json import load_event
from gateway.operations.event_models import EventView, Payload, PayloadPlace
from gateway.operations.event_view import kept_id
from gateway.operations.payload_shapes import shape_of_event
from gateway.operations.readings import open_letters
from gateway.publishers.spool.files import spool_files
from gateway.publishers.spool.inspect import events_in
from gateway.publishers.spool.records import SpooledMessage
from gateway.queues.archive import NotThere

TIMEOUT = 10.0
"""Seconds for reading one place: a person waits, and a long queue has to be read to its end."""

_ARCHIVE_MARGIN = 60.0
"""Seconds before the receipt at which reading of the archive begins: the clocks of two machines may differ."""


class Found(NamedTuple):
    """A message that was found.

    Attributes:
        body: The CloudEvent in JSON.
        headers: The headers of the message.
        queue: The queue that it was found in; empty if it has none.
    """

    body: bytes
    headers: Mapping[str, Any]
    queue: str = ""


async def payload(config: Config, view: EventView, *, is_whole: bool) -> Payload | None:
    """Read the event in one of the places where its payload may be; None if it is in none of them.

    Nothing is taken out of a queue. In RabbitMQ, reading a dead-letter queue or the quarantine makes its events invisible
    to others for a moment; a worker's queue is not read there.

    Raises:
        OperatorError: A place cannot be read, and none of the others has it.
    """
    failure: OperatorError | None = None
    for place in view.places:
        try:
            async with asyncio.timeout(TIMEOUT):
                found = await _read(config, place, view)
        except TimeoutError:
            failure = failure or OperatorError(f"{_name_of(place)} could not be read within {TIMEOUT:g} s")
        except OperatorError as error:
            failure = failure or error
        except (OSError, sqlite3.Error) as error:
            failure = failure or OperatorError(f"{_name_of(place)} cannot be read: {error}")
        else:
            if found is not None:
                return _payload(place, found, is_whole=is_whole)
    if failure is not None:
        raise failure
    return None


def _payload(place: PayloadPlace, found: Found, *, is_whole: bool) -> Payload:
    event: Any = load_event(found.body)
    if not event:
        event = f"<not a readable event, {len(found.body):,} bytes>"
    elif not is_whole:
        event = shape_of_event(event)
    if found.queue and found.queue != place.queue:
        place = PayloadPlace("queue", found.queue, f"In the queue {found.queue}.")
    headers = {name: str(value) for name, value in found.headers.items()}
    return Payload(place, is_whole, event, found.body if is_whole else b"", headers)


async def _read(config: Config, place: PayloadPlace, view: EventView) -> Found | None:
    if place.kind == "archive":
        return await _in_archive(config, view)
    if place.kind == "spool":
        return await asyncio.to_thread(_in_spool, config, view)
    if has_embedded_queue(config):
        return await _in_embedded_queue(config, place, view)
    if place.kind == "queue":
        return None  # reading it would take events from its worker
    return await _in_broker_queue(config, place, view)


async def _in_embedded_queue(config: Config, place: PayloadPlace, view: EventView) -> Found | None:
    async with open_inspection(config) as queues:
        messages = await queues.find(view.provider, view.event_id) or []
    wanted = [each for each in messages if place.queue in {"", each.queue}]
    return Found(wanted[0].body, wanted[0].headers, wanted[0].queue) if wanted else None


async def _in_broker_queue(config: Config, place: PayloadPlace, view: EventView) -> Found | None:
    found = None
    try:
        async with open_letters(config, place.queue) as letters:
            async for letter in letters.browse():  # to its end, which keeps the order
                if found is None and letter.provider == view.provider and _is_it(view, letter.message_id):
                    found = Found(letter.body, letter.headers)
    except OperatorError as error:
        if "there is no queue" in str(error):
            return None
        raise
    return found


async def _in_archive(config: Config, view: EventView) -> Found | None:
    try:
        async with (
            open_archive(config) as archive,
            aclosing(archive.read(view.first_at - _ARCHIVE_MARGIN)) as events,
        ):
            async for archived in events:
                if archived.provider == view.provider and _is_it(view, archived.message_id):
                    return Found(archived.message.body, archived.message.headers)
    except NotThere:
        return None
    return None


def _in_spool(config: Config, view: EventView) -> Found | None:
    for file in spool_files(config.data_dir).values():
        for row in events_in(file):
            if isinstance(row, SpooledMessage):
                message = row.message
                provider = message.routing_key.partition(".")[0]
                if provider == view.provider and _is_it(view, message.message_id):
                    return Found(message.body, message.headers)
    return None


def _is_it(view: EventView, message_id: str) -> bool:
    return message_id == view.event_id or kept_id(message_id) == view.event_id


def _name_of(place: PayloadPlace) -> str:
    return place.queue or f"the {place.kind.replace('_', ' ')}"
