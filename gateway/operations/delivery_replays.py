"""Replays: begin a new round of many deliveries of an endpoint, see how far it is, cancel the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from gateway.config import Config
from gateway.events.conditions import BadCondition, compile_where
from gateway.operations.actions import Action, report_action
from gateway.operations.outbound import Refused, find_endpoint, new_id
from gateway.outbound.labels import label_of
from gateway.outbound.models import DeliveryState, Endpoint, Format, Operation, OutboundMessage
from gateway.outbound.store import Chosen, DeliveryFilter, Store

MAX_RATE = 1000.0
"""Deliveries a second that a replay may make due."""

DEFAULT_RATE = 10.0
"""Deliveries a second that a replay makes due, unless somebody says otherwise."""

DEFAULT_STATES = (DeliveryState.DEAD, DeliveryState.HELD)
"""The states that a replay takes, unless somebody says otherwise."""

_where = msgspec.json.Decoder(list[dict[str, dict[str, Any]]])

_PAGE = 50
"""Deliveries that are counted at a time where their events have to be read."""


class ReplayPlan(NamedTuple):
    """What a replay takes.

    Attributes:
        wanted: What is delivered again; without states, dead and held deliveries.
        where: Conditions on the events, as in a subscription; empty for none.
        limit: The most deliveries, oldest first; None for all.
        rate: Deliveries that become due in a second.
        as_new: Whether the receiver gets another `webhook-id`, so that it acts again.
    """

    wanted: DeliveryFilter
    where: Sequence[Mapping[str, Mapping[str, Any]]] = ()
    limit: int | None = None
    rate: float = DEFAULT_RATE
    as_new: bool = False


async def count_replay(store: Store, endpoint_name: str, plan: ReplayPlan, *, tenant: str = "") -> int:
    """Return how many deliveries of an endpoint a replay would begin anew.

    Raises:
        Refused: There is no such endpoint, or the plan cannot be followed.
    """
    _, wanted, chosen = await _checked(store, endpoint_name, plan, tenant)
    wanted = wanted._replace(
        states=tuple(each for each in wanted.states if each is not DeliveryState.PENDING)
    )
    if not wanted.states:
        return 0
    count = await store.count(wanted) if chosen is None else await _count(store, wanted, chosen, plan.limit)
    return count if plan.limit is None else min(count, plan.limit)


async def replay(
    config: Config,
    store: Store,
    endpoint_name: str,
    plan: ReplayPlan,
    *,
    now: float,
    actor: str = "",
    tenant: str = "",
) -> Operation:
    """Begin a new round of all deliveries of an endpoint that match, oldest first.

    Args:
        config: The configuration.
        store: The store.
        endpoint_name: The endpoint's id or name.
        plan: What is delivered again.
        now: The time, in Unix seconds.
        actor: Who asks.
        tenant: The only tenant that is seen; empty for all.

    Raises:
        Refused: There is no such endpoint, or the plan cannot be followed.
    """
    endpoint, wanted, chosen = await _checked(store, endpoint_name, plan, tenant)
    operation = Operation(
        id=new_id("op", now), endpoint=endpoint.id, created_at=now, actor=actor, state="running", total=0
    )
    begun = await store.replay(
        operation, wanted, rate=plan.rate, limit=plan.limit, chosen=chosen, as_new=plan.as_new
    )
    renewed = ", with new ids" if plan.as_new else ""
    await report_action(
        config,
        Action.REDELIVERED,
        actor=actor,
        queue=label_of(endpoint),
        detail=f"{begun.total:,} deliveries{renewed}, {begun.id}",
    )
    return begun


async def show_operation(store: Store, operation_id: str, *, tenant: str = "") -> Operation:
    """Return a bulk replay with its numbers.

    Raises:
        Refused: There is none.
    """
    found = await store.operation(operation_id)
    if found is not None:
        endpoint = await store.endpoint(found.endpoint)
        if not tenant or (endpoint is not None and endpoint[0].tenant == tenant):
            return found
    raise Refused("not_found", f"there is no operation {operation_id!r}")


async def cancel_operation(store: Store, operation_id: str, *, tenant: str = "") -> Operation:
    """Cancel what is pending of a bulk replay.

    Raises:
        Refused: There is none.
    """
    await show_operation(store, operation_id, tenant=tenant)
    await store.cancel_operation(operation_id)
    return await show_operation(store, operation_id, tenant=tenant)


def read_where(text: str) -> list[dict[str, dict[str, Any]]]:
    """Return the conditions that somebody wrote as JSON: an object of them, or a list of alternatives.

    Raises:
        Refused: It is something else.
    """
    try:
        return _where.decode(f"[{text}]" if text.lstrip().startswith("{") else text)
    except msgspec.MsgspecError:
        raise Refused(
            "invalid_body",
            'where: is not JSON such as {"/data/status": {"in": ["failed"]}}, or a list of that',
        ) from None


async def _checked(
    store: Store, endpoint_name: str, plan: ReplayPlan, tenant: str
) -> tuple[Endpoint, DeliveryFilter, Chosen | None]:
    if not (0 < plan.rate <= MAX_RATE and math.isfinite(plan.rate)):
        raise Refused("invalid_body", f"rate: from above 0 to {MAX_RATE:,.0f} deliveries a second")
    if plan.limit is not None and plan.limit < 1:
        raise Refused("invalid_body", "limit: 1 or more deliveries")
    chosen = _chosen(plan.where)
    endpoint, _ = await find_endpoint(store, endpoint_name, tenant)
    if plan.as_new and endpoint.format is Format.ORIGINAL:
        raise Refused(
            "invalid_body",
            "as_new: requests of the format original have the provider's ids in their bodies, which stay as they are",
        )
    wanted = plan.wanted._replace(endpoint=endpoint.id, states=plan.wanted.states or DEFAULT_STATES)
    return endpoint, wanted, chosen


def _chosen(where: Sequence[Mapping[str, Mapping[str, Any]]]) -> Chosen | None:
    try:
        condition = compile_where(where)
    except BadCondition as error:
        raise Refused("invalid_body", f"where: {error}") from None
    if condition is None:
        return None

    def holds(message: OutboundMessage) -> bool:
        return message.body is not None and condition(orjson.loads(message.body))

    return holds


async def _count(store: Store, wanted: DeliveryFilter, chosen: Chosen, limit: int | None) -> int:
    """Return how many deliveries match, up to a limit, by reading their events page by page."""
    count, after = 0, ""
    while limit is None or count < limit:
        page = await store.deliveries(wanted, after=after, limit=_PAGE, oldest_first=True)
        if not page:
            break
        messages = await store.messages(sorted({each.message for each in page}))
        kept = {name for name, message in messages.items() if chosen(message)}
        count += sum(each.message in kept for each in page)
        after = page[-1].id
    return count
