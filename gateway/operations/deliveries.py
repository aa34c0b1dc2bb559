"""Deliveries: see them and their attempts, redeliver or cancel one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.config import Config
from gateway.operations.actions import Action, report_action
from gateway.operations.delivery_models import (
    AttemptView,
    DeliveryView,
    attempt_view,
    delivery_view,
)
from gateway.operations.outbound import Refused
from gateway.outbound.labels import label_of
from gateway.outbound.models import Delivery, DeliveryState, Endpoint, Trigger
from gateway.outbound.store import Conflict, DeliveryFilter, Store


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
    config: Config,
    store: Store,
    delivery_id: str,
    *,
    retries: bool = True,
    actor: str = "",
    tenant: str = "",
) -> DeliveryView:
    """Begin a new round of attempts, with the same id and the same bytes.

    Args:
        config: The configuration.
        store: The store.
        delivery_id: The delivery's id.
        retries: Whether an attempt that fails is followed by another.
        actor: Who asks.
        tenant: The only tenant that is seen; empty for all.

    Raises:
        Refused: There is no such delivery, an attempt is under way, or its event was forgotten.
    """
    delivery = await find_delivery(store, delivery_id, tenant)
    message = await store.message(delivery.message)
    if message is None or message.body is None:
        raise Refused("data_gone", "the event was forgotten, or is older than its retention")
    try:
        renewed = await store.redeliver(
            delivery.id, trigger=Trigger.MANUAL, at=await store.now(), retries=retries
        )
    except Conflict as error:
        raise Refused("in_flight", f"{str(error) or 'an attempt is under way'}; see how it ends", 1) from None
    return await _reported(config, store, Action.REDELIVERED, renewed, actor)


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
    cancelled = await find_delivery(store, delivery_id, tenant)
    return await _reported(config, store, Action.CANCELLED, cancelled, actor)


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


async def _view(store: Store, delivery: Delivery) -> DeliveryView:
    return (await _views(store, [delivery]))[0]


async def _views(store: Store, deliveries: Sequence[Delivery]) -> list[DeliveryView]:
    messages = await store.messages(sorted({each.message for each in deliveries}))
    endpoints: dict[str, Endpoint | None] = {}
    for endpoint_id in {each.endpoint for each in deliveries}:
        found = await store.endpoint(endpoint_id)
        endpoints[endpoint_id] = found[0] if found else None
    return [delivery_view(each, endpoints[each.endpoint], messages.get(each.message)) for each in deliveries]


async def _reported(
    config: Config, store: Store, action: Action, delivery: Delivery, actor: str
) -> DeliveryView:
    """Report what somebody has done to a delivery, and return it as it is shown."""
    view = await _view(store, delivery)
    found = await store.endpoint(delivery.endpoint)
    await report_action(
        config,
        action,
        actor=actor,
        routing_key=view.type,
        event_id=view.event_id,
        queue=label_of(found[0]) if found else view.endpoint,
        detail=view.id,
    )
    return view
