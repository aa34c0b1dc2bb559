"""Replays: deliver many events of an endpoint anew, see how far that is, cancel the rest."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gateway.console.api.operation import Call, Operation
from gateway.console.api.outbound import FINDS, answer, asked, note
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.operations import delivery_replays
from gateway.operations.delivery_replays import ReplayPlan
from gateway.operations.outbound import keys_of
from gateway.outbound.models import DeliveryState
from gateway.outbound.models import Operation as Replay
from gateway.outbound.store import DeliveryFilter

Conditions = dict[str, dict[str, Any]]
Pattern = Annotated[str, Meta(min_length=1, max_length=255)]


class DeliveryReplay(msgspec.Struct, forbid_unknown_fields=True):
    """Deliveries to make anew.

    Attributes:
        since: The earliest acceptance, in Unix seconds.
        until: The latest acceptance, in Unix seconds.
        states: Their states.
        events: Patterns of their routing keys; any of them.
        where: Conditions on the events, as in a subscription; a list has alternatives.
        limit: The most deliveries, oldest first; null for all.
        rate: Deliveries that become due in a second.
        as_new: Whether the receiver gets a new `webhook-id`, so that it acts again. For admins alone.
        dry_run: Whether they are only to be counted.
    """

    since: float | None = None
    until: float | None = None
    states: Annotated[list[DeliveryState], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(delivery_replays.DEFAULT_STATES)
    )
    events: Annotated[list[Pattern], Meta(max_length=100)] = []
    where: Conditions | list[Conditions] = []
    limit: Annotated[int, Meta(ge=1)] | None = None
    rate: Annotated[float, Meta(gt=0, le=delivery_replays.MAX_RATE)] = delivery_replays.DEFAULT_RATE
    as_new: bool = False
    dry_run: bool = False


class ReplayCount(msgspec.Struct):
    """What a replay would take.

    Attributes:
        count: The number of deliveries.
    """

    count: int


def _plan(body: DeliveryReplay) -> ReplayPlan:
    return ReplayPlan(
        DeliveryFilter(
            states=tuple(body.states),
            keys=tuple(key for pattern in body.events for key in keys_of(pattern)),
            since=body.since,
            until=body.until,
        ),
        [body.where] if isinstance(body.where, dict) else body.where,
        body.limit,
        body.rate,
        body.as_new,
    )


async def _replay(call: Call) -> Replay | Response:
    ask, body, endpoint_id = asked(call), call.body, call.path["id"]
    plan = _plan(body)
    if body.as_new and not call.principal.role.includes(Role.ADMIN):
        raise Problem("forbidden", "as_new makes receivers act again, which needs the role admin")
    if body.dry_run:
        count = await delivery_replays.count_replay(ask.store, endpoint_id, plan, tenant=ask.tenant)
        return answer(ReplayCount(count), 200)
    await note(call, "endpoint.replay", f"{endpoint_id}{' as new' if body.as_new else ''}")
    return await delivery_replays.replay(
        call.services.config(),
        ask.store,
        endpoint_id,
        plan,
        now=ask.now,
        actor=ask.actor,
        tenant=ask.tenant,
    )


async def _operation(call: Call) -> Replay:
    ask = asked(call)
    return await delivery_replays.show_operation(ask.store, call.path["id"], tenant=ask.tenant)


async def _cancel_operation(call: Call) -> Replay:
    ask = asked(call)
    await note(call, "operation.cancel", call.path["id"])
    return await delivery_replays.cancel_operation(ask.store, call.path["id"], tenant=ask.tenant)


OPERATIONS = (
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
