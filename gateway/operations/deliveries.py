"""Deliveries: see them and their attempts, redeliver or cancel one, replay many, erase what one carried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from gateway.config import Config
from gateway.operations.actions import Action, report_action
from gateway.operations.delivery_models import (
    AttemptView,
    DeliveryView,
    MessageView,
    attempt_view,
    delivery_view,
    message_view,
    title_of,
)
from gateway.operations.outbound import Refused, find_endpoint, new_id
from gateway.outbound.models import Delivery, DeliveryState, Endpoint, Operation, OutboundMessage, Trigger
from gateway.outbound.store import Conflict, DeliveryFilter, Store

MAX_REPLAY_RATE = 1000.0
"""Deliveries a second that a replay may make due."""

DEFAULT_REPLAY_RATE = 10.0
"""Deliveries a second that a replay makes due, unless somebody says otherwise."""

REPLAYED_STATES = (DeliveryState.DEAD, DeliveryState.HELD)
"""The states that a replay takes, unless somebody says otherwise."""


class DeliveryPage(NamedTuple):
    """A page of deliveries.

    Attributes:
        deliveries: The deliveries.
        next: The id after which the next page begins; empty if there is none.
    """

    deliveries: list[DeliveryView]
    next: str


async def list_deliveries(
    store: Store, wanted: DeliveryFilter, *, after: str = "", limit: int = 50, oldest_first: bool = False
) -> DeliveryPage:
    """Return deliveries, newest first unless the oldest are wanted first, and beyond the id ``after``."""
    if oldest_first:
        found = await store.deliveries(wanted, after=after, limit=limit + 1, oldest_first=True)
    else:
        found = await store.deliveries(wanted, before=after, limit=limit + 1)
    page = found[:limit]
    return DeliveryPage(await _views(store, page), page[-1].id if len(found) > limit else "")


async def show_delivery(store: Store, delivery_id: str, *, tenant: str = "") -> DeliveryView:
    """Return a delivery.

    Raises:
        Refused: There is none.
    """
    return await _view(store, await find_delivery(store, delivery_id, tenant))


async def attempts_of(store: Store, delivery_id: str, *, tenant: str = "") -> list[AttemptView]:
    """Return the attempts of a delivery, oldest first.

    Raises:
        Refused: There is no such delivery.
    """
    delivery = await find_delivery(store, delivery_id, tenant)
    found = await store.endpoint(delivery.endpoint)
    has_excerpt = found is None or not found[0].is_by_tenant or found[0].is_verified
    return [attempt_view(each, has_excerpt=has_excerpt) for each in await store.attempts(delivery.id)]


async def redeliver(
    config: Config, store: Store, delivery_id: str, *, actor: str = "", tenant: str = ""
) -> DeliveryView:
    """Begin a new round of attempts, with the same id and the same bytes.

    Raises:
        Refused: There is no such delivery, an attempt is under way, or its event was forgotten.
    """
    delivery = await find_delivery(store, delivery_id, tenant)
    message = await store.message(delivery.message)
    if message is None or message.body is None:
        raise Refused("data_gone", "the event was forgotten, or is older than its retention")
    try:
        renewed = await store.redeliver(delivery.id, trigger=Trigger.MANUAL, at=await store.now())
    except Conflict as error:
        raise Refused("in_flight", f"{str(error) or 'an attempt is under way'}; see how it ends", 1) from None
    view = await _view(store, renewed)
    await _report(config, Action.REDELIVERED, view, actor)
    return view


async def cancel(
    config: Config, store: Store, delivery_id: str, *, actor: str = "", tenant: str = ""
) -> DeliveryView:
    """Make no further attempt of a delivery that waits.

    Raises:
        Refused: There is no such delivery, or it has ended.
    """
    delivery = await find_delivery(store, delivery_id, tenant)
    if delivery.state not in {DeliveryState.PENDING, DeliveryState.HELD}:
        raise Refused("conflict", f"the delivery has ended already; it is {delivery.state}")
    if not await store.cancel(DeliveryFilter(delivery=delivery.id)):
        raise Refused("conflict", "the delivery has just ended; look again")
    view = await _view(store, await find_delivery(store, delivery_id, tenant))
    await _report(config, Action.CANCELLED, view, actor)
    return view


async def count_replay(store: Store, endpoint_name: str, wanted: DeliveryFilter, *, tenant: str = "") -> int:
    """Return how many deliveries of an endpoint a replay would begin anew.

    Raises:
        Refused: There is no such endpoint.
    """
    endpoint, _ = await find_endpoint(store, endpoint_name, tenant)
    return await store.count(_of_endpoint(wanted, endpoint))


async def replay(
    config: Config,
    store: Store,
    endpoint_name: str,
    wanted: DeliveryFilter,
    *,
    rate: float = DEFAULT_REPLAY_RATE,
    now: float,
    actor: str = "",
    tenant: str = "",
) -> Operation:
    """Begin a new round of all deliveries of an endpoint that match, oldest first.

    Args:
        config: The configuration.
        store: The store.
        endpoint_name: The endpoint's id or name.
        wanted: What is delivered again; without states, dead and held deliveries.
        rate: Deliveries that become due in a second.
        now: The time, in Unix seconds.
        actor: Who asks.
        tenant: The only tenant that is seen; empty for all.

    Raises:
        Refused: There is no such endpoint, or the rate is none.
    """
    if not (0 < rate <= MAX_REPLAY_RATE and math.isfinite(rate)):
        raise Refused("invalid_body", f"rate: from above 0 to {MAX_REPLAY_RATE:,.0f} deliveries a second")
    endpoint, _ = await find_endpoint(store, endpoint_name, tenant)
    chosen = _of_endpoint(wanted, endpoint)
    operation = Operation(
        id=new_id("op", now), endpoint=endpoint.id, created_at=now, actor=actor, state="running", total=0
    )
    begun = await store.replay(operation, chosen, rate=rate)
    await report_action(
        config,
        Action.REDELIVERED,
        actor=actor,
        queue=title_of(endpoint),
        detail=f"{begun.total:,} deliveries, {begun.id}",
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


async def show_message(
    store: Store, message_id: str, *, is_whole: bool = False, tenant: str = ""
) -> MessageView:
    """Return a message, with its event if it is whole.

    Raises:
        Refused: There is none.
    """
    return message_view(await _message(store, message_id, tenant), is_whole=is_whole)


async def forget_message(
    config: Config, store: Store, message_id: str, *, actor: str = "", tenant: str = ""
) -> None:
    """Erase the body and the subject of a message, and what receivers said; its history stays.

    Raises:
        Refused: There is no such message.
    """
    message = await _message(store, message_id, tenant)
    await store.forget(message.id)
    await report_action(
        config,
        Action.FORGOTTEN,
        actor=actor,
        routing_key=message.key,
        detail="erased from the way out",
    )


async def find_delivery(store: Store, delivery_id: str, tenant: str = "") -> Delivery:
    """Return a delivery.

    Raises:
        Refused: There is none, or it is another tenant's.
    """
    found = await store.delivery(delivery_id)
    if found is not None and tenant:
        endpoint = await store.endpoint(found.endpoint)
        found = found if endpoint is not None and endpoint[0].tenant == tenant else None
    if found is None:
        raise Refused("not_found", f"there is no delivery {delivery_id!r}")
    return found


async def _message(store: Store, message_id: str, tenant: str) -> OutboundMessage:
    found = await store.message(message_id)
    if found is None or tenant not in {"", found.tenant}:
        raise Refused("not_found", f"there is no message {message_id!r}")
    return found


async def _view(store: Store, delivery: Delivery) -> DeliveryView:
    return (await _views(store, [delivery]))[0]


async def _views(store: Store, deliveries: Sequence[Delivery]) -> list[DeliveryView]:
    messages = await store.messages(sorted({each.message for each in deliveries}))
    endpoints: dict[str, Endpoint | None] = {}
    for endpoint_id in {each.endpoint for each in deliveries}:
        found = await store.endpoint(endpoint_id)
        endpoints[endpoint_id] = found[0] if found else None
    return [delivery_view(each, endpoints[each.endpoint], messages.get(each.message)) for each in deliveries]


def _of_endpoint(wanted: DeliveryFilter, endpoint: Endpoint) -> DeliveryFilter:
    return wanted._replace(endpoint=endpoint.id, states=wanted.states or REPLAYED_STATES)


async def _report(config: Config, action: Action, view: DeliveryView, actor: str) -> None:
    await report_action(
        config,
        action,
        actor=actor,
        routing_key=view.type,
        event_id=view.event_id,
        queue=view.endpoint_title or view.endpoint,
        detail=view.id,
    )
