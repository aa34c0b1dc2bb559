"""How the way out is, as far as its database knows: who owns the endpoints, how they are, and what waits for them."""

from __future__ import annotations

from collections import Counter

import msgspec

from gateway.backends import open_outbound_store
from gateway.config import EMBEDDED, Config
from gateway.operations.endpoint_models import EndpointView
from gateway.operations.endpoints import endpoint_views
from gateway.operations.outbound import database_errors_told
from gateway.operations.wording import count
from gateway.outbound.models import SHARDS
from gateway.outbound.store import Store


class Owner(msgspec.Struct, frozen=True):
    """A process that delivers.

    Attributes:
        name: Its machine, its number, and a few letters of its own.
        shards: The shards that it owns.
        lease_ends_at: When the first of its leases ends unless it is renewed, in Unix seconds.
    """

    name: str
    shards: int
    lease_ends_at: float


class OutboundState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the way out.

    Attributes:
        at: The moment, by the clock of the database, in Unix seconds.
        database: `embedded` or `PostgreSQL`.
        tables: The version of its tables.
        owners: The processes that deliver.
        shards: All shards of endpoints.
        shards_owned: Those that have an owner.
        states: The endpoints by their state: `enabled`, `paused`, `disabled`.
        circuits: The enabled endpoints by their circuit: `closed`, `open`, `half_open`.
        pending: Deliveries that wait for their attempt; of one endpoint at most 100,000 are counted, here and in the next two.
        held: Deliveries that wait for somebody to enable their endpoint.
        dead: Deliveries whose attempts all failed.
        oldest_pending: When the oldest pending delivery was accepted, in Unix seconds; null if there is none.
        oldest_endpoint: The endpoint of that delivery; empty if there is none.
        in_trouble: The endpoints that need somebody, the worst first: disabled, with an open circuit, or with dead deliveries.
    """

    at: float
    database: str
    tables: int
    owners: list[Owner]
    shards: int
    shards_owned: int
    states: dict[str, int]
    circuits: dict[str, int]
    pending: int
    held: int
    dead: int
    oldest_pending: float | None
    oldest_endpoint: str
    in_trouble: list[EndpointView]


async def outbound_state(config: Config, store: Store) -> OutboundState:
    """Return how the way out is."""
    now = await store.now()
    views = await endpoint_views(store, now=now)
    shares = await store.shares()
    oldest = min(
        ((each.oldest_pending, each.title) for each in views if each.oldest_pending is not None),
        default=(None, ""),
    )
    return OutboundState(
        at=now,
        database=EMBEDDED if config.postgres.url == EMBEDDED else "PostgreSQL",
        tables=(await store.tables()).found,
        owners=[Owner(share.owner, share.shards, share.until) for share in shares],
        shards=SHARDS,
        shards_owned=sum(share.shards for share in shares),
        states=dict(Counter(each.state.value for each in views)),
        circuits=dict(Counter(each.circuit for each in views if each.state == "enabled")),
        pending=sum(each.pending for each in views),
        held=sum(each.held for each in views),
        dead=sum(each.dead for each in views),
        oldest_pending=oldest[0],
        oldest_endpoint=oldest[1],
        in_trouble=[each for each in views if _is_in_trouble(each)],
    )


async def check_database(config: Config) -> str:
    """Return in a line what the database of deliveries has; change nothing in it.

    Raises:
        OperatorError: It cannot be used, has tables of another version, or lacks a key for what it has.
    """
    store = open_outbound_store(config)
    with database_errors_told():
        try:
            tables = await store.tables()
            if tables.found == 0:
                return "the database has no tables yet; the gateway makes them when it starts"
            await store.start()
            return f"the database can be used, and has {count(len(await store.endpoints()), 'endpoint')}"
        finally:
            await store.stop()


def _is_in_trouble(each: EndpointView) -> bool:
    return each.state == "disabled" or (each.state == "enabled" and each.circuit != "closed") or each.dead > 0
