"""Messages: publish an event to the endpoints that want it, list and look up those that are kept, erase what one says."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gateway.console.api.cursors import make_text_cursor, open_text_cursor
from gateway.console.api.operation import Call, Operation
from gateway.console.api.outbound import FAILS, FINDS, PageParameters, answer, asked, note, way_out
from gateway.console.security.roles import Role
from gateway.operations import kept_messages
from gateway.operations.delivery_models import MessageView
from gateway.operations.messages import AcceptedMessage
from gateway.operations.outbound import keys_of
from gateway.outbound.store import MessageFilter, MessagePlace

_BATCH = "application/cloudevents-batch+json"


class AcceptedList(msgspec.Struct):
    """What has become of a list of events.

    Attributes:
        data: The answer for each, in their order.
    """

    data: list[AcceptedMessage]


class MessageParameters(PageParameters, frozen=True, forbid_unknown_fields=True):
    """Which messages to list.

    Attributes:
        type: A pattern of their routing keys, such as `stripe.invoice.*`.
        event: The event's id.
        provider: The provider of the event.
        since: The earliest acceptance, in Unix seconds.
        until: The latest acceptance, in Unix seconds.
    """

    type: Annotated[str, Meta(max_length=255)] = ""
    event: Annotated[str, Meta(max_length=2048)] = ""
    provider: Annotated[str, Meta(max_length=255)] = ""
    since: float | None = None
    until: float | None = None


class MessagePage(msgspec.Struct):
    """A page of messages, newest first.

    Attributes:
        data: The messages, without their events.
        next: The cursor of the next page; null if there is none.
    """

    data: list[MessageView]
    next: str | None


async def _list(call: Call) -> MessagePage:
    ask, parameters, signer = asked(call), call.parameters, call.services.access.signer
    wanted = MessageFilter(
        tenant=ask.tenant,
        event_id=parameters.event,
        provider=parameters.provider,
        keys=keys_of(parameters.type),
        since=parameters.since,
        until=parameters.until,
    )
    after = None
    if parameters.cursor:
        at, _, message_id = open_text_cursor(signer, "/messages", parameters.cursor, repr(wanted)).partition(
            " "
        )
        after = MessagePlace(float(at), message_id)
    page = await kept_messages.list_messages(ask.store, wanted, after=after, limit=parameters.limit)
    place = page.next and f"{page.next.accepted_at!r} {page.next.id}"
    return MessagePage(
        page.messages, make_text_cursor(signer, "/messages", place, repr(wanted)) if place else None
    )


async def _publish(call: Call) -> Response:
    found, body = way_out(call), bytes(call.body)
    if call.request.headers["content-type"].partition(";")[0].strip().lower() == _BATCH:
        return answer(AcceptedList(await found.accept_list(body, call.principal.tenant)), 202)
    accepted = await found.accept(body, call.principal.tenant)
    return answer(accepted, 202 if accepted.status == "accepted" else 200)


async def _show(call: Call) -> MessageView:
    ask = asked(call)
    may_read = call.principal.role is Role.TENANT or (
        call.principal.role.includes(Role.OPERATOR) and call.services.config().console.payloads != "off"
    )
    found = await kept_messages.show_message(ask.store, call.path["id"], is_whole=may_read, tenant=ask.tenant)
    if may_read:
        await note(call, "payload.view", f"{found.provider or found.key}/{found.event_id}")
    return found


async def _forget(call: Call) -> None:
    ask = asked(call)
    await note(call, "message.forget", call.path["id"])
    await kept_messages.forget_message(
        call.services.config(), ask.store, call.path["id"], actor=ask.actor, tenant=ask.tenant
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/messages",
        role=Role.OPERATOR,
        summary="Publish an event, or a list of up to 100, to the endpoints that want it.",
        handler=_publish,
        body=msgspec.Raw,
        media_types=("application/cloudevents+json", "application/json", _BATCH),
        result=(AcceptedMessage, AcceptedList),
        status=202,
        others=((200, AcceptedMessage),),
        problems=("operation_failed", "deliveries_unavailable"),
        is_for_tenants=True,
    ),
    Operation(
        method="GET",
        path="/messages",
        role=Role.VIEWER,
        summary="List messages, newest first, without their events.",
        handler=_list,
        parameters=MessageParameters,
        result=MessagePage,
        problems=(*FAILS, "invalid_cursor"),
        is_for_tenants=True,
    ),
    Operation(
        method="GET",
        path="/messages/{id}",
        role=Role.VIEWER,
        summary="Return a message, with its event if the token may see payloads.",
        handler=_show,
        result=MessageView,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="DELETE",
        path="/messages/{id}/data",
        role=Role.ADMIN,
        summary="Erase what a message says; its history stays.",
        handler=_forget,
        status=204,
        problems=FINDS,
        is_for_tenants=True,
    ),
)
