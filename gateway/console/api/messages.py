"""Messages: publish an event to the endpoints that want it, look it up, erase what it says."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from gateway.console.api.operation import Call, Operation
from gateway.console.api.outbound import FINDS, answer, asked, note, way_out
from gateway.console.security.roles import Role
from gateway.operations import deliveries
from gateway.operations.delivery_models import MessageView
from gateway.operations.messages import AcceptedMessage

_BATCH = "application/cloudevents-batch+json"


class AcceptedList(msgspec.Struct):
    """What has become of a list of events.

    Attributes:
        data: The answer for each, in their order.
    """

    data: list[AcceptedMessage]


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
    found = await deliveries.show_message(ask.store, call.path["id"], is_whole=may_read, tenant=ask.tenant)
    if may_read:
        await note(call, "payload.view", f"{found.provider or found.key}/{found.event_id}")
    return found


async def _forget(call: Call) -> None:
    ask = asked(call)
    await note(call, "message.forget", call.path["id"])
    await deliveries.forget_message(
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
        path="/messages/{id}",
        role=Role.VIEWER,
        summary="Return a message, and its event to those who may see payloads.",
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
