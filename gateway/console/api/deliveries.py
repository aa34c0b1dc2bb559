"""Deliveries: list and export them, see their attempts, redeliver or cancel one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response, StreamingResponse

from gateway.console.api.cursors import make_text_cursor, open_text_cursor
from gateway.console.api.encoding import encode
from gateway.console.api.operation import LINES, Call, Operation
from gateway.console.api.outbound import (
    FAILS,
    FINDS,
    Asked,
    Order,
    PageParameters,
    asked,
    note,
)
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.operations import deliveries
from gateway.operations.delivery_models import AttemptView, DeliveryView
from gateway.operations.kept_messages import find_message
from gateway.operations.outbound import find_endpoint, keys_of
from gateway.outbound.models import DeliveryState
from gateway.outbound.store import DeliveryFilter

_EXPORT_PAGE = 250
"""Deliveries that an export reads at a time."""

Word = Annotated[str, Meta(max_length=255)]
States = Annotated[str, Meta(max_length=100)]


class DeliveryParameters(PageParameters, frozen=True, forbid_unknown_fields=True):
    """Which deliveries to list.

    Attributes:
        state: Their state, or several with commas between: `pending`, `held`, `delivered`, `dead`, `cancelled`.
        type: A pattern of their routing keys, such as `stripe.invoice.*`.
        message: The message's id.
        event: The event's id.
        outcome: How the last attempt ended.
        status: The HTTP status of the last attempt.
        since: The earliest acceptance, in Unix seconds.
        until: The latest acceptance, in Unix seconds.
        order: `desc` for the newest first, `asc` for the oldest.
    """

    state: States = ""
    type: Word = ""
    message: Word = ""
    event: Annotated[str, Meta(max_length=2048)] = ""
    outcome: Word = ""
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    since: float | None = None
    until: float | None = None
    order: Order = "desc"


class AnyDeliveryParameters(DeliveryParameters, frozen=True, forbid_unknown_fields=True):
    """Which deliveries to list.

    Attributes:
        endpoint: The endpoint's id.
    """

    endpoint: Word = ""


class DeliveryPage(msgspec.Struct):
    """A page of deliveries.

    Attributes:
        data: The deliveries.
        next: The cursor of the next page; null if there is none.
    """

    data: list[DeliveryView]
    next: str | None


class AttemptList(msgspec.Struct):
    """The attempts of a delivery.

    Attributes:
        data: The attempts, oldest first.
    """

    data: list[AttemptView]


class NewRound(msgspec.Struct, forbid_unknown_fields=True):
    """How to deliver anew.

    Attributes:
        retries: Whether an attempt that fails is followed by another; otherwise there is one.
    """

    retries: bool = True


def _filter(parameters: DeliveryParameters, tenant: str, endpoint: str, message: str = "") -> DeliveryFilter:
    try:
        states = tuple(DeliveryState(each) for each in parameters.state.split(",") if each)
    except ValueError:
        known = ", ".join(DeliveryState)
        raise Problem("malformed_request", f"query string: state is not one of {known}") from None
    return DeliveryFilter(
        tenant=tenant,
        endpoint=endpoint,
        message=message or parameters.message,
        event_id=parameters.event,
        states=states,
        keys=keys_of(parameters.type),
        outcome=parameters.outcome,
        status=parameters.status,
        since=parameters.since,
        until=parameters.until,
    )


async def _list(call: Call) -> Response | DeliveryPage:
    ask, parameters = asked(call), call.parameters
    return await _page(call, ask, _filter(parameters, ask.tenant, parameters.endpoint))


async def _list_of_endpoint(call: Call) -> Response | DeliveryPage:
    ask = asked(call)
    endpoint, _ = await find_endpoint(ask.store, call.path["id"], ask.tenant)
    return await _page(call, ask, _filter(call.parameters, ask.tenant, endpoint.id))


async def _page(call: Call, ask: Asked, wanted: DeliveryFilter) -> Response | DeliveryPage:
    parameters, signer = call.parameters, call.services.access.signer
    conditions = (repr(wanted), parameters.order)
    after = (
        open_text_cursor(signer, "/deliveries", parameters.cursor, *conditions) if parameters.cursor else ""
    )
    is_ascending = parameters.order == "asc"
    if LINES in call.request.headers.get("accept", ""):
        return StreamingResponse(_export(ask, wanted, after, is_ascending), media_type=LINES)
    found = await deliveries.list_deliveries(
        ask.store, wanted, after=after, limit=parameters.limit, oldest_first=is_ascending
    )
    cursor = make_text_cursor(signer, "/deliveries", found.next, *conditions) if found.next else None
    return DeliveryPage(found.deliveries, cursor)


async def _export(ask: Asked, wanted: DeliveryFilter, after: str, is_ascending: bool) -> AsyncIterator[bytes]:
    while True:
        page = await deliveries.list_deliveries(
            ask.store, wanted, after=after, limit=_EXPORT_PAGE, oldest_first=is_ascending
        )
        yield b"".join(encode(each) + b"\n" for each in page.deliveries)
        if not page.next:
            return
        after = page.next


async def _show(call: Call) -> DeliveryView:
    ask = asked(call)
    return await deliveries.show_delivery(ask.store, call.path["id"], tenant=ask.tenant)


async def _attempts(call: Call) -> AttemptList:
    ask = asked(call)
    return AttemptList(await deliveries.attempts_of(ask.store, call.path["id"], tenant=ask.tenant))


async def _redeliver(call: Call) -> DeliveryView:
    ask = asked(call)
    await note(call, "delivery.redeliver", call.path["id"])
    return await deliveries.redeliver(
        call.services.config(),
        ask.store,
        call.path["id"],
        retries=call.body.retries,
        actor=ask.actor,
        tenant=ask.tenant,
    )


async def _cancel(call: Call) -> DeliveryView:
    ask = asked(call)
    await note(call, "delivery.cancel", call.path["id"])
    return await deliveries.cancel(
        call.services.config(), ask.store, call.path["id"], actor=ask.actor, tenant=ask.tenant
    )


async def _list_of_message(call: Call) -> Response | DeliveryPage:
    ask = asked(call)
    message = await find_message(ask.store, call.path["id"], ask.tenant)
    return await _page(call, ask, _filter(call.parameters, ask.tenant, call.parameters.endpoint, message.id))


OPERATIONS = (
    Operation(
        method="GET",
        path="/endpoints/{id}/deliveries",
        role=Role.VIEWER,
        summary="List the deliveries of an endpoint.",
        handler=_list_of_endpoint,
        parameters=DeliveryParameters,
        result=DeliveryPage,
        problems=(*FINDS, "invalid_cursor"),
        is_for_tenants=True,
        lines=True,
    ),
    Operation(
        method="GET",
        path="/messages/{id}/deliveries",
        role=Role.VIEWER,
        summary="List the deliveries of a message, one for each endpoint that wants it.",
        handler=_list_of_message,
        parameters=AnyDeliveryParameters,
        result=DeliveryPage,
        problems=(*FINDS, "invalid_cursor"),
        is_for_tenants=True,
        lines=True,
    ),
    Operation(
        method="GET",
        path="/deliveries",
        role=Role.VIEWER,
        summary="List deliveries; with `state=dead`, those that could not be made.",
        handler=_list,
        parameters=AnyDeliveryParameters,
        result=DeliveryPage,
        problems=(*FAILS, "invalid_cursor"),
        is_for_tenants=True,
        lines=True,
    ),
    Operation(
        method="GET",
        path="/deliveries/{id}",
        role=Role.VIEWER,
        summary="Return a delivery.",
        handler=_show,
        result=DeliveryView,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="GET",
        path="/deliveries/{id}/attempts",
        role=Role.VIEWER,
        summary="Return the attempts of a delivery, with their times and what the receiver answered.",
        handler=_attempts,
        result=AttemptList,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/deliveries/{id}/redeliver",
        role=Role.OPERATOR,
        summary="Begin a new round of attempts, with the same id and the same bytes.",
        handler=_redeliver,
        body=NewRound,
        is_body_optional=True,
        result=DeliveryView,
        problems=(*FINDS, "in_flight", "data_gone"),
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/deliveries/{id}/cancel",
        role=Role.OPERATOR,
        summary="Make no further attempt of a delivery that waits.",
        handler=_cancel,
        result=DeliveryView,
        problems=FINDS,
        is_for_tenants=True,
    ),
)
