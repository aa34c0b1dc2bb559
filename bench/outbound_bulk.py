"""The way out with much in its database: how soon it begins where much is pending, and how long lists take."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from secrets import token_bytes

from bench.grid import Grid, judged
from bench.meter import resident_bytes
from bench.outbound_rows import PostgresWriter, SqliteWriter, ended, fill, pending
from bench.outbound_site import Site, open_site
from gateway.outbound.configured import endpoints_of
from gateway.outbound.ids import Ids
from gateway.outbound.models import DeliveryState, Endpoint, Subscription
from gateway.outbound.store import DeliveryFilter, Store
from gateway.outbound.store.postgresql import PostgresStore
from gateway.outbound.store.sqlite import SqliteStore
from support.gateway_process import GatewayProcess
from support.postgresql_server import PostgreSQLServer
from support.waiting import wait_until

_PENDING_ENDPOINTS = 10
_LISTED_ENDPOINTS = 1_000

_MAX_READY = 10.0
"""The goal for the seconds from the start of the program to the first delivery."""

_MAX_MEMORY = 50.0
"""The goal for the mebibytes that the process takes beyond an empty one."""

_DELIVERED = 2_000
"""Deliveries after which the memory is looked at, with and without what is pending."""

_MAX_LIST = 100.0
"""The goal for a list call, in ms of the 99th percentile."""

_ASKED = 100
"""Times that each list is asked for."""

_STORES = ("SQLite", "PostgreSQL")


def measure_pending(directory: Path, count: int, tell: Callable[[str], None]) -> list[Grid]:
    """Start a gateway to which many deliveries are due."""
    rows: list[Sequence[str]] = []
    for name in _STORES:
        found = []
        for number in (_DELIVERED, count):
            tell(f"outbound: {number:,} pending in {name}")
            place = directory / f"{name}-{number}"
            with open_site(
                place, _PENDING_ENDPOINTS, is_embedded=name == "SQLite", fill=partial(_add, number)
            ) as site:
                found.append(_begin(site))
        (_, empty), (ready, full) = found
        more = (full - empty) / 2**20
        rows.append((f"first delivery after, s, {name}", f"{ready:.1f}", *judged(ready, _MAX_READY)))
        rows.append((f"memory beyond an empty one, MiB, {name}", f"{more:.0f}", *judged(more, _MAX_MEMORY)))
    note = (
        f"{_PENDING_ENDPOINTS} endpoints that answer at once. The first delivery is from the start of the program, and the "
        f"memory is that after {_DELIVERED:,} deliveries, of a program with no more than these in its database."
    )
    return [Grid(f"The way out with {count:,} pending", ("", "measured", "goal", "kept"), rows, note)]


def _add(count: int, gateway: GatewayProcess) -> None:
    config = gateway.load()
    endpoints = [each.id for each in endpoints_of(config, time.time())]
    is_embedded = config.postgres.url == "embedded"
    writer = SqliteWriter(config.data_dir) if is_embedded else PostgresWriter(str(config.postgres.url))
    fill(writer, pending(count, endpoints), lambda _: "default", lambda _: None)
    writer.close()


def _begin(site: Site) -> tuple[float, int]:
    """Return the seconds until the first delivery, and the memory a while later."""
    wait_until(lambda: site.receiver.ask("count") > 0, 120)
    ready = time.time() - site.started_at
    wait_until(lambda: site.receiver.ask("count") >= _DELIVERED, 120)
    return ready, resident_bytes(site.pid)


def measure_lists(directory: Path, count: int, tell: Callable[[str], None]) -> list[Grid]:
    """Ask for lists of deliveries, with one attempt each."""
    directory.mkdir(parents=True)
    rows: list[Sequence[str]] = []

    def tell_progress(number: int) -> None:
        if number % 1_000_000 == 0:
            tell(f"outbound: {number:,} deliveries")

    for name in _STORES:
        with _store(directory, name) as (store, open_writer):
            endpoints = asyncio.run(_prepare(store))
            began_at = time.perf_counter()
            writer = open_writer()
            fill(
                writer,
                ended(count, [each.id for each in endpoints]),
                {each.id: each.tenant for each in endpoints}.__getitem__,
                tell_progress,
            )
            writer.close()
            tell(f"outbound: filled in {time.perf_counter() - began_at:.0f} s")
            for question, times in asyncio.run(_ask(store, endpoints, count)).items():
                p99 = statistics.quantiles(times, n=100)[98]
                cell = f"{statistics.median(times):.1f} / {p99:.1f}"
                rows.append((f"{question}: ms, p50 / p99, {name}", cell, *judged(p99, _MAX_LIST)))
                tell(f"{name}: {question}: {cell}")
    note = f"{_LISTED_ENDPOINTS:,} endpoints of 21 tenants, 29 days, three of a hundred not delivered. Lists are of 50, from a random place."
    return [Grid(f"Lists of {count:,} attempts", ("", "measured", "goal", "kept"), rows, note)]


@contextmanager
def _store(directory: Path, name: str) -> Iterator[tuple[Store, Callable[[], SqliteWriter | PostgresWriter]]]:
    if name == "SQLite":
        yield SqliteStore(directory, [token_bytes(32)]), lambda: SqliteWriter(directory)
        return
    with PostgreSQLServer() as server:
        url = server.database_url(server.create_database())
        yield PostgresStore(url, [token_bytes(32)]), lambda: PostgresWriter(url)


async def _prepare(store: Store) -> list[Endpoint]:
    await store.start()
    ids, now = Ids(), time.time()
    endpoints = [
        Endpoint(
            id=ids.new("ep", now),
            tenant=f"tenant-{number % 40}" if number % 2 else "default",
            url="https://receiver.test/hook",
            subscriptions=(Subscription(events=("acme.#",)),),
            created_at=now,
        )
        for number in range(_LISTED_ENDPOINTS)
    ]
    for each in endpoints:
        await store.put_endpoint(each)
    await store.stop()
    return endpoints


async def _ask(store: Store, endpoints: Sequence[Endpoint], count: int) -> dict[str, list[float]]:
    await store.start()
    chance, now = random.Random(16), time.time()

    def moment() -> float:
        return now - chance.uniform(0, 29) * 86_400

    def endpoint() -> str:
        return chance.choice(endpoints).id

    def tenant() -> str:
        return f"tenant-{chance.randrange(1, 40, 2)}"

    dead, held = (DeliveryState.DEAD,), (DeliveryState.HELD,)
    lists: dict[str, Callable[[], DeliveryFilter]] = {
        "newest": DeliveryFilter,
        "before a moment": lambda: DeliveryFilter(until=moment()),
        "dead of all": lambda: DeliveryFilter(states=dead, until=moment()),
        "dead and held of all": lambda: DeliveryFilter(states=(*dead, *held), until=moment()),
        "of a tenant": lambda: DeliveryFilter(tenant=tenant(), until=moment()),
        "dead of a tenant": lambda: DeliveryFilter(tenant=tenant(), states=dead, until=moment()),
        "dead of the tenant default": lambda: DeliveryFilter(tenant="default", states=dead, until=moment()),
        "of an endpoint": lambda: DeliveryFilter(endpoint=endpoint(), until=moment()),
        "dead of an endpoint": lambda: DeliveryFilter(endpoint=endpoint(), states=dead),
        "an outcome of all": lambda: DeliveryFilter(outcome="tls_expired", until=moment()),
        "an outcome of an endpoint": lambda: DeliveryFilter(endpoint=endpoint(), outcome="tls_expired"),
        "an outcome that never was": lambda: DeliveryFilter(outcome="tls_untrusted", until=moment()),
        "a status of all": lambda: DeliveryFilter(status=503, until=moment()),
        "a status of a tenant": lambda: DeliveryFilter(tenant=tenant(), status=503, until=moment()),
        "a status that never was": lambda: DeliveryFilter(status=418, until=moment()),
        "a type": lambda: DeliveryFilter(keys=("acme.order.n7",), until=moment()),
        "dead of a type": lambda: DeliveryFilter(keys=("acme.order.n7",), states=dead, until=moment()),
        "a type that never was": lambda: DeliveryFilter(keys=("acme.invoice.*",), until=moment()),
        "of an event": lambda: DeliveryFilter(event_id=f"evt_{chance.randrange(count):026d}"),
    }
    times: dict[str, list[float]] = {}

    async def measured(name: str, answer: Awaitable[object]) -> None:
        began_at = time.perf_counter()
        await answer
        times.setdefault(name, []).append((time.perf_counter() - began_at) * 1000)

    for _ in range(_ASKED):
        for name, wanted in lists.items():
            await measured(name, store.deliveries(wanted()))
        await measured("what waits for 50 endpoints", store.waiting([endpoint() for _ in range(50)]))
        some = await store.deliveries(DeliveryFilter(until=moment()), limit=1)
        await measured("attempts of a delivery", store.attempts(some[0].id if some else ""))
    await store.stop()
    return times
