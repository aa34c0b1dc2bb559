"""Endpoints: see them, make, change and delete them, and say whether they are sent anything."""

from __future__ import annotations

import msgspec

from gateway.config import Config
from gateway.operations.endpoint_models import EndpointView, endpoint_view, etag_of
from gateway.operations.endpoint_secrets import (
    NewSecret,
    changeable,
    checked_secret,
    make_secret,
    needs_secret,
    put,
    signing,
)
from gateway.operations.endpoint_settings import EndpointChange, NewEndpoint, check, with_change
from gateway.operations.outbound import Refused, find_endpoint, new_id
from gateway.outbound.models import Endpoint, EndpointState, Health, Secret
from gateway.outbound.store import Store
from gateway.outbound.store.answers import Waiting

MAX_ENDPOINTS = 10_000
"""Endpoints that may exist at a time: every process holds all of them."""

MANUAL = "manual"
"""Why an endpoint is disabled, if a person has done so."""

UNVERIFIED = "unverified"
"""Why an endpoint is disabled that a tenant has made, until its owner has proved that they want requests."""


async def endpoint_views(store: Store, *, now: float, tenant: str = "") -> list[EndpointView]:
    """Return all endpoints, those with problems first, then by name."""
    found = [each for each in await store.endpoints() if tenant in {"", each[0].tenant}]
    waiting = await store.waiting([endpoint.id for endpoint, _ in found])
    views = [endpoint_view(one, health, waiting.get(one.id, Waiting()), now) for one, health in found]
    return sorted(views, key=_urgency)


async def show_endpoint(store: Store, name: str, *, now: float, tenant: str = "") -> EndpointView:
    """Return an endpoint by its id or name.

    Raises:
        Refused: There is none.
    """
    endpoint, health = await find_endpoint(store, name, tenant)
    return await view_of(store, endpoint, health, now)


async def view_of(store: Store, endpoint: Endpoint, health: Health, now: float) -> EndpointView:
    """Return an endpoint with what waits for it."""
    waiting = await store.waiting([endpoint.id])
    return endpoint_view(endpoint, health, waiting.get(endpoint.id, Waiting()), now)


async def create_endpoint(
    config: Config, store: Store, settings: NewEndpoint, *, now: float, tenant: str = ""
) -> tuple[EndpointView, list[NewSecret]]:
    """Make an endpoint; return it with its secrets, which cannot be had again.

    Args:
        config: The configuration.
        store: The store.
        settings: What it is to be.
        now: The time, in Unix seconds.
        tenant: The tenant whose token asks; empty for those who run the gateway.

    Raises:
        Refused: Something about it is wrong, or there are too many.
    """
    if tenant and settings.tenant not in {tenant, "default"}:
        raise Refused("invalid_body", f"tenant: this token makes endpoints of {tenant} alone")
    if len(await store.endpoints()) >= MAX_ENDPOINTS:
        raise Refused("limit_reached", f"there are {MAX_ENDPOINTS:,} endpoints already; delete some")
    draft = Endpoint(
        id=new_id("ep", now),
        tenant=tenant or settings.tenant,
        url=settings.url,
        subscriptions=(),
        is_by_tenant=bool(tenant),
        created_at=now,
        changed_at=now,
    )
    draft = signing(with_change(draft, settings))
    made = []
    if needs_secret(draft):
        text = checked_secret(draft, settings.secret) if settings.secret else make_secret(draft)
        made = [Secret(id=new_id("sec", now), value=text, created_at=now)]
    draft = msgspec.structs.replace(draft, secrets=tuple(made))
    check(config, draft)
    endpoint = await put(store, draft, 0)
    health = Health(endpoint=endpoint.id)
    if tenant or not settings.enabled:
        reason = UNVERIFIED if tenant else MANUAL
        health = Health(endpoint=endpoint.id, state=EndpointState.DISABLED, reason=reason)
        await store.put_health(health, by_person=True)
    return await view_of(store, endpoint, health, now), [NewSecret(each.id, each.value) for each in made]


async def change_endpoint(
    config: Config,
    store: Store,
    endpoint_id: str,
    change: EndpointChange,
    *,
    now: float,
    expected: str = "",
    tenant: str = "",
) -> EndpointView:
    """Change an endpoint.

    Args:
        config: The configuration.
        store: The store.
        endpoint_id: Its id.
        change: What to change.
        now: The time, in Unix seconds.
        expected: The entity tag that it must have; empty for any.
        tenant: The only tenant that is seen; empty for all.

    Raises:
        Refused: There is none, it is a configured one, somebody else has changed it, or something about it is wrong.
    """
    endpoint = await changeable(store, endpoint_id, tenant)
    expect(endpoint, expected)
    changed = signing(msgspec.structs.replace(with_change(endpoint, change), changed_at=now))
    if changed.url != endpoint.url:
        changed = msgspec.structs.replace(changed, is_verified=False)
    check(config, changed)
    saved = await put(store, changed, endpoint.version)
    _, health = await find_endpoint(store, saved.id, tenant)
    if saved.is_by_tenant and not saved.is_verified and health.state is not EndpointState.DISABLED:
        health = msgspec.structs.replace(health, state=EndpointState.DISABLED, reason=UNVERIFIED)
        await store.put_health(health, by_person=True)
    return await view_of(store, saved, health, now)


async def delete_endpoint(store: Store, endpoint_id: str, *, expected: str = "", tenant: str = "") -> None:
    """Delete an endpoint, and cancel its deliveries.

    Raises:
        Refused: There is none, it is a configured one, or somebody else has changed it.
    """
    endpoint = await changeable(store, endpoint_id, tenant)
    expect(endpoint, expected)
    await store.delete_endpoint(endpoint.id)


def expect(endpoint: Endpoint, etags: str) -> None:
    """Check the entity tags of `If-Match`; empty and `*` are any.

    Raises:
        Refused: The endpoint has another one.
    """
    wanted = {each.strip() for each in etags.split(",")} - {""}
    if wanted and "*" not in wanted and etag_of(endpoint) not in wanted:
        raise Refused("version_changed", f"the endpoint is at {etag_of(endpoint)}; read it again")


async def set_state(
    store: Store, endpoint_id: str, state: EndpointState, *, now: float, tenant: str = ""
) -> EndpointView:
    """Pause or disable an endpoint. Of one that is paused deliveries wait; of one that is disabled new ones are held.

    Raises:
        Refused: There is none.
    """
    endpoint, health = await find_endpoint(store, endpoint_id, tenant)
    if health.state is EndpointState.DISABLED and state is EndpointState.PAUSED:
        raise Refused("conflict", "the endpoint is disabled; enable it before it can be paused")
    if health.state is not state:
        reason = MANUAL if state is EndpointState.DISABLED else ""
        health = msgspec.structs.replace(health, state=state, reason=reason)
        await store.put_health(health, by_person=True)
    return await view_of(store, endpoint, health, now)


def _urgency(view: EndpointView) -> tuple[bool, int, bool, str, str]:
    ranks = {EndpointState.DISABLED: 0, EndpointState.ENABLED: 1, EndpointState.PAUSED: 2}
    is_well = view.state is EndpointState.ENABLED and view.circuit == "closed" and not view.dead
    return (is_well, ranks[view.state], view.circuit == "closed", view.title, view.id)
