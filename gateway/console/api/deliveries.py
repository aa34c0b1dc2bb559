"""Deliveries: list and export them, see their attempts, redeliver or cancel one, replay many."""

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
    answer,
    asked,
    note,
)
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.operations import deliveries
from gateway.operations.delivery_models import AttemptView, DeliveryView
from gateway.operations.outbound import find_endpoint
from gateway.outbound.models import DeliveryState
from gateway.outbound.models import Operation as Replay
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


class DeliveryReplay(msgspec.Struct, forbid_unknown_fields=True):
    """Deliveries to make anew.

    Attributes:
        since: The earliest acceptance, in Unix seconds.
        until: The latest acceptance, in Unix seconds.
        states: Their states.
        events: Patterns of their routing keys; any of them.
        rate: Deliveries that become due in a second.
        dry_run: Whether they are only to be counted.
    """

    since: float | None = None
    until: float | None = None
    states: list[DeliveryState] = msgspec.field(default_factory=lambda: list(deliveries.REPLAYED_STATES))
    events: Annotated[list[Word], Meta(max_length=100)] = []
    rate: Annotated[float, Meta(gt=0, le=deliveries.MAX_REPLAY_RATE)] = deliveries.DEFAULT_REPLAY_RATE
    dry_run: bool = False


class ReplayCount(msgspec.Struct):
    """What a replay would take.

    Attributes:
        count: The number of deliveries.
    """

    count: int


def _filter(parameters: DeliveryParameters, tenant: str, endpoint: str) -> DeliveryFilter:
    try:
        states = tuple(DeliveryState(each) for each in parameters.state.split(",") if each)
    except ValueError:
        known = ", ".join(DeliveryState)
        raise Problem("malformed_request", f"query string: state is not one of {known}") from None
    return DeliveryFilter(
        tenant=tenant,
        endpoint=endpoint,
        message=parameters.message,
        event_id=parameters.event,
        states=states,
        keys=(parameters.type,) if parameters.type else (),
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
        call.services.config(), ask.store, call.path["id"], actor=ask.actor, tenant=ask.tenant
    )


async def _cancel(call: Call) -> DeliveryView:
    ask = asked(call)
    await note(call, "delivery.cancel", call.path["id"])
    return await deliveries.cancel(
        call.services.config(), ask.store, call.path["id"], actor=ask.actor, tenant=ask.tenant
    )


async def _replay(call: Call) -> Replay | Response:
    ask, body, endpoint_id = asked(call), call.body, call.path["id"]
    wanted = DeliveryFilter(
        states=tuple(body.states), keys=tuple(body.events), since=body.since, until=body.until
    )
    if body.dry_run:
        count = await deliveries.count_replay(ask.store, endpoint_id, wanted, tenant=ask.tenant)
        return answer(ReplayCount(count), 200)
    await note(call, "endpoint.replay", endpoint_id)
    return await deliveries.replay(
        call.services.config(),
        ask.store,
        endpoint_id,
        wanted,
        rate=body.rate,
        now=ask.now,
        actor=ask.actor,
        tenant=ask.tenant,
    )


async def _operation(call: Call) -> Replay:
    ask = asked(call)
    return await deliveries.show_operation(ask.store, call.path["id"], tenant=ask.tenant)


async def _cancel_operation(call: Call) -> Replay:
    ask = asked(call)
    await note(call, "operation.cancel", call.path["id"])
    return await deliveries.cancel_operation(ask.store, call.path["id"], tenant=ask.tenant)


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
        method="POST",
        path="/endpoints/{id}/replay",
        role=Role.OPERATOR,
        summary="Begin a new round of many deliveries of an endpoint, or only count them.",
        handler=_replay,
        body=DeliveryReplay,
        result=Replay,
        status=202,
        others=((200, ReplayCount),),
        problems=FINDS,
        is_for_tenants=True,
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
    Operation(
        method="GET",
        path="/operations/{id}",
        role=Role.VIEWER,
        summary="Return how far a bulk replay is.",
        handler=_operation,
        result=Replay,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="DELETE",
        path="/operations/{id}",
        role=Role.OPERATOR,
        summary="Cancel what is pending of a bulk replay.",
        handler=_cancel_operation,
        result=Replay,
        problems=FINDS,
        is_for_tenants=True,
    ),
)
