"""One event: what is known of it, and its payload."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response

from gateway.console.api.encoding import encode
from gateway.console.api.operation import Call, Operation
from gateway.console.problems import MEDIA_TYPE, Problem, details_of
from gateway.console.security.headers import timed
from gateway.console.security.roles import Role
from gateway.operations.actions import Action
from gateway.operations.event_models import EventView, NotFound, Payload, PayloadPlace
from gateway.operations.event_view import event_view
from gateway.operations.events import not_found, payload


class EventNotFound(msgspec.Struct):
    """The problem for an id that the journal does not have, with what can be said of it all the same.

    Attributes:
        type: The address of the reason's documentation.
        title: The reason in words.
        status: The HTTP status.
        reason: What a program decides by.
        detail: What happened this time.
        instance: The path of the request.
        known: What is known of the id and of its provider.
    """

    type: str
    title: str
    status: int
    reason: str
    detail: str
    instance: str
    known: Any


class PayloadView(msgspec.Struct):
    """An event as it is kept, or its shape.

    Attributes:
        place: Where it was found.
        is_whole: Whether the values are there; otherwise each is replaced by its type and length.
        event: The CloudEvent, or its shape.
        headers: The headers of the message.
    """

    place: PayloadPlace
    is_whole: bool
    event: Any
    headers: dict[str, str]


class PayloadParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to show a payload.

    Attributes:
        whole: Whether to show the values, rather than their types and lengths.
    """

    whole: bool = False


async def _view(call: Call) -> EventView | Response:
    provider, event_id = call.path["provider"], call.path["id"]
    found = await _find(call)
    if found is not None:
        return found
    known: NotFound = await not_found(
        call.services.config(), call.services.journal, event_id, provider, now=call.now
    )
    details = details_of(Problem("not_found", known.headline), call.request.url.path)
    return Response(encode({**msgspec.structs.asdict(details), "known": known}), 404, media_type=MEDIA_TYPE)


async def _find(call: Call) -> EventView | None:
    services = call.services
    with timed(call.request, "journal"):
        return await asyncio.to_thread(
            event_view,
            services.config(),
            services.journal,
            call.path["id"],
            call.path["provider"],
            now=call.now,
        )


async def _payload(call: Call) -> PayloadView:
    config = call.services.config()
    setting = config.console.payloads
    if setting == "off":
        raise Problem("forbidden", "console.payloads is off")
    view = await _find(call)
    if view is None:
        raise Problem("not_found", "the journal has no such event")
    is_whole = call.parameters.whole or setting == "full"
    target = f"{view.provider}/{view.event_id}"
    if is_whole:  # before it is shown: what cannot be noted is not shown
        await asyncio.to_thread(call.audit, "payload.view", target)
    with timed(call.request, "payload"):
        found: Payload | None = await payload(config, view, is_whole=is_whole)
    if found is None:
        raise Problem("not_found", "the event is in none of the places where its payload might be")
    if is_whole:
        call.services.report_action(
            Action.VIEWED,
            call.principal.name,
            provider=view.provider,
            event_type=view.type,
            event_id=view.event_id,
        )
    return PayloadView(found.place, found.is_whole, found.event, found.headers)


OPERATIONS = (
    Operation(
        method="GET",
        path="/events/{provider}/{id}",
        role=Role.VIEWER,
        summary="Return what is known of an event: its timeline, how it stands, where its payload may be.",
        handler=_view,
        result=EventView,
        problems=("not_found", "journal_unavailable"),
    ),
    Operation(
        method="GET",
        path="/events/{provider}/{id}/payload",
        role=Role.OPERATOR,
        summary="Return the event itself, or its shape, from where it is kept. A view of the values is in the audit.",
        handler=_payload,
        parameters=PayloadParameters,
        result=PayloadView,
        problems=("not_found", "operation_failed", "journal_unavailable"),
    ),
)
