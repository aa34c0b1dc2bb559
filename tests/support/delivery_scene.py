"""A way out in memory: endpoints with deliveries in every state, for the API, the pages and the commands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import orjson
from msgspec.structs import replace

from gateway.operations.messages import WayOut
from gateway.outbound.ids import Ids, message_id, shard_of
from gateway.outbound.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Health,
    OutboundMessage,
    Secret,
    Subscription,
    Trigger,
)
from gateway.outbound.store import Record, Store
from gateway.outbound.store.memory import MemoryStore
from support.console import Console

Result = TypeVar("Result")

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
"""A secret that no answer may show."""

HEADER_VALUE = "a-value-of-a-header-that-nobody-shows"
"""The value of a header that no answer may show."""

LOOPBACK: dict[str, Any] = {
    "enabled": True,
    "allow_http": True,
    "ports": list(range(1024, 1025)),
    "allow_networks": ["127.0.0.0/8", "::1/128"],
}
"""Settings of a way out that may lead to this machine; a test adds the port."""

FAILING_ENDPOINT, DEAD_DELIVERY = "ep_01JDEM0FA1L1NG00000000000A", "dlv_01JDEM0DEAD000000000000000"
"""Ids that pages are tried with."""

ids = Ids()
"""Makes the ids of these tests."""


def outbound(port: int = 443) -> dict[str, Any]:
    """Return the settings of a way out that may lead to a port of this machine."""
    return {**LOOPBACK, "ports": [port]}


def endpoint_at(url: str, now: float, name: str = "billing", **changes: Any) -> Endpoint:
    """Return an endpoint of the API."""
    made = Endpoint(
        id=ids.new("ep", now),
        name=name,
        url=url,
        subscriptions=(Subscription(events=("stripe.invoice.*",)),),
        headers={"X-Key": HEADER_VALUE},
        secrets=(Secret(id=ids.new("sec", now), value=SECRET, created_at=now),),
        created_at=now,
        changed_at=now,
    )
    return replace(made, **changes)


def message_of(
    number: int, now: float, *, tenant: str = "default", provider: str = "stripe", event_id: str = ""
) -> OutboundMessage:
    """Return a message."""
    event_id = event_id or f"evt_out_{number}"
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/{provider}",
        "type": "com.stripe.invoice.paid",
        "data": {"id": event_id, "amount": number},
    }
    return OutboundMessage(
        id=message_id(tenant, f"/{provider}", event_id),
        tenant=tenant,
        key=f"{provider}.invoice.paid",
        event_id=event_id,
        source=f"/{provider}",
        type="com.stripe.invoice.paid",
        provider=provider,
        subject=f"in_{number}",
        accepted_at=now,
        body=orjson.dumps(event),
    )


def delivery_of(endpoint: Endpoint, message: OutboundMessage, now: float, **changes: Any) -> Delivery:
    """Return a delivery of a message to an endpoint."""
    made = Delivery(
        id=ids.new("dlv", now), endpoint=endpoint.id, message=message.id, due_at=now, created_at=now
    )
    return replace(made, **changes)


async def keep(
    store: Store, endpoint: Endpoint, number: int, now: float, event_id: str = "", **changes: Any
) -> Delivery:
    """Keep one pending delivery."""
    message = message_of(number, now, tenant=endpoint.tenant, event_id=event_id)
    delivery = delivery_of(endpoint, message, now, **changes)
    await store.accept([(message, [delivery])])
    return delivery


async def record(
    store: Store,
    delivery: Delivery,
    *,
    state: DeliveryState,
    outcome: str,
    status: int | None = None,
    excerpt: bytes = b"",
    at: float,
    **changes: Any,
) -> Delivery:
    """Record an attempt of a delivery as its owner does."""
    leases = {each.shard: each for each in await store.lease("test", 60.0, want=256)}
    lease = leases[shard_of(delivery.endpoint)]
    has_ended = state in {DeliveryState.DELIVERED, DeliveryState.DEAD}
    changed = replace(
        delivery,
        state=state,
        outcome=outcome,
        status=status,
        attempts=delivery.attempts + (outcome != "delivered"),
        made=delivery.made + 1,
        ended_at=at if has_ended else None,
        **changes,
    )
    attempt = Attempt(
        id=ids.new("att", at),
        delivery=delivery.id,
        endpoint=delivery.endpoint,
        message=delivery.message,
        trigger=Trigger.AUTO,
        number=delivery.made + 1,
        at=at,
        outcome=outcome,
        status=status,
        ms=123.4,
        phases={"dns": 1.2, "connect": 3.4, "tls": 20.5, "head": 98.3},
        address="203.0.113.7:443",
        excerpt=excerpt,
    )
    (held,) = await store.record([Record(changed, attempt, lease.epoch)])
    assert held
    return changed


class Scene:
    """Endpoints and deliveries, of which each state has one.

    Attributes:
        store: The store.
        well: An endpoint that is well.
        failing: An endpoint whose circuit is open.
        disabled: An endpoint that is disabled.
        foreign: An endpoint of the tenant acme.
        delivered: A delivery that was made.
        dead: A delivery that died, with a hostile answer.
        pending: A delivery that waits.
        held: A delivery that is held.
        theirs: A delivery of acme.
    """

    def __init__(self, store: Store, hostile: str = "", event_id: str = "") -> None:
        self.store = store
        self._hostile = hostile
        self._event_id = event_id

    async def fill(self, now: float) -> Scene:
        """Write all of it down."""
        store, hostile = self.store, self._hostile
        text = {"description": hostile} if hostile else {}
        self.well = await self._put(
            endpoint_at("https://billing.example.com/hooks", now - 90_000, hostile or "billing", **text)
        )
        fixed = {"id": FAILING_ENDPOINT} if self._event_id else {}
        self.failing = await self._put(
            endpoint_at("https://crm.example.com/in", now - 80_000, "crm", **fixed, **text)
        )
        self.disabled = await self._put(endpoint_at("https://old.example.com/", now - 70_000, "old"))
        self.foreign = await self._put(
            endpoint_at("https://acme.example.com/", now - 60_000, "theirs", tenant="acme")
        )
        self.delivered = await keep(store, self.well, 1, now - 600)
        self.delivered = await record(
            store, self.delivered, state=DeliveryState.DELIVERED, outcome="delivered", status=200, at=now - 599,
            excerpt=hostile.encode() or b'{"ok": true}',
        )  # fmt: skip
        fixed = {"id": DEAD_DELIVERY} if self._event_id else {}
        self.dead = await keep(store, self.failing, 2, now - 500, self._event_id, **fixed)
        self.dead = await record(
            store, self.dead, state=DeliveryState.PENDING, outcome="timeout_head", at=now - 490
        )
        self.dead = await record(
            store, self.dead, state=DeliveryState.DEAD, outcome="status", status=503, at=now - 480,
            excerpt=hostile.encode() or b"<h1>Service unavailable</h1>",
        )  # fmt: skip
        self.pending = await keep(store, self.failing, 3, now - 400)
        message = message_of(4, now - 300)
        self.held = delivery_of(self.disabled, message, now - 300, state=DeliveryState.HELD)
        await store.accept([(message, [self.held])])
        self.theirs = await keep(store, self.foreign, 5, now - 200)
        await store.put_health(Health(endpoint=self.well.id, succeeded_at=now - 599), by_person=False)
        await store.put_health(
            Health(
                endpoint=self.failing.id,
                failures=7,
                failing_since=now - 490,
                closed_until=now + 60,
                openings=2,
            ),
            by_person=False,
        )
        await store.put_health(
            Health(endpoint=self.disabled.id, state=EndpointState.DISABLED, reason="failing"), by_person=True
        )
        return self

    async def _put(self, endpoint: Endpoint) -> Endpoint:
        return await self.store.put_endpoint(endpoint, 0)


def with_way_out(
    console: Console, store: Store | None = None, hostile: str = "", event_id: str = ""
) -> Scene:
    """Give a console a way out in memory with endpoints and deliveries.

    Args:
        console: The console.
        store: The store; a new one in memory by default.
        hostile: A text for all places into which strangers write.
        event_id: The event of the dead delivery, which then has the id that pages are tried with.
    """
    store = store or MemoryStore()
    console.services.outbound = WayOut(store)
    return asyncio.run(Scene(store, hostile, event_id).fill(time.time()))


def wait_for(question: Callable[[], Awaitable[Result]]) -> Result:
    """Ask a store in memory something from a test that is not asynchronous."""

    async def asked() -> Result:
        return await question()

    return asyncio.run(asked())


def ids_of(answers: Sequence[dict[str, Any]]) -> list[str]:
    """Return the ids of what an answer lists."""
    return [each["id"] for each in answers]
