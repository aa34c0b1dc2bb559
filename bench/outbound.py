"""The way out: what a delivery costs, how long it takes, and what receivers that hang cost the others."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.grid import Grid, judged
from bench.meter import resident_bytes
from bench.outbound_site import Site, key_of, open_site, publishing
from support.waiting import wait_until_async

DELIVERIES = 10_000
"""Deliveries whose cost is measured, unless the command line says how many."""

ENDPOINTS = 10_000
"""Endpoints of which a tenth hangs, unless the command line says how many."""

_RATE = 100.0
"""Events a second when latency is measured."""

_RATE_OF_MANY = 500.0
"""Events a second where there are many endpoints; each event is for one of them."""

_DEADLINE = 15.0
"""Seconds after which an attempt at an endpoint that hangs ends."""

_MAX_EMBEDDED, _MAX_WITH_SERVERS = 400.0, 800.0
"""The goals for the processor time of a delivery, in µs."""

_MAX_P50, _MAX_P99 = 20.0, 70.0
"""The goals for latency, in ms."""

_MAX_RATIO = 2.0
_MAX_MEMORY = 300 * 2**20
_MAX_HANGING = 500

_NOTE = """\
Events of 1.5 KB, published to the exchange of the gateway by the benchmark, over plain HTTP and kept connections to a receiver
that answers 200 and is not counted. Processor time is that of the process of the way out, and with servers that of RabbitMQ
and PostgreSQL besides. Latency is from the moment before an event is published to its arrival. Where a tenth of the endpoints
hangs, 500 events a second come, each for one endpoint; what is counted begins when the first attempts that hang have ended."""


class _Many(NamedTuple):
    """What was measured with many endpoints.

    Attributes:
        p99: The 99th percentile of those that answer, in ms.
        memory: The resident bytes of the process.
        hanging: The most attempts that hung at a time.
    """

    p99: float
    memory: int
    hanging: int


def measure(directory: Path, deliveries: int, endpoints: int, tell: Callable[[str], None]) -> list[Grid]:
    """Measure the way out embedded, and with RabbitMQ and PostgreSQL."""
    rows: list[Sequence[str]] = []
    for is_embedded in (True, False):
        name = "embedded" if is_embedded else "with servers"
        tell(f"outbound: {deliveries:,} deliveries, {name}")
        with open_site(directory / name, 1, is_embedded=is_embedded) as site:
            parts, rate = asyncio.run(_cost(site, deliveries))
            whole = sum(parts.values())
            goal = _MAX_EMBEDDED if is_embedded else _MAX_WITH_SERVERS
            rows.append((f"CPU µs a delivery, {name}", f"{whole:.0f}", *judged(whole, goal)))
            if not is_embedded:
                rows += [(f"of these {part}", f"{used:.0f}", "", "") for part, used in parts.items()]
            rows.append((f"deliveries/s, {name}", f"{rate:,.0f}", "", ""))
            p50, p99 = asyncio.run(_latency(site, 1_000))
            rows.append((f"p50 ms at 100/s, {name}", f"{p50:.1f}", *judged(p50, _MAX_P50)))
            rows.append((f"p99 ms at 100/s, {name}", f"{p99:.1f}", *judged(p99, _MAX_P99)))
            tell(f"outbound: {whole:.0f} µs a delivery, {p50:.1f} and {p99:.1f} ms")
    rows += _many(directory, endpoints, tell)
    return [Grid("The way out", ("", "measured", "goal", "kept"), rows, _NOTE)]


async def _cost(site: Site, deliveries: int) -> tuple[dict[str, float], float]:
    """Return the µs of a delivery in each process, and the deliveries a second."""
    async with publishing(site) as publish:

        async def burst(count: int) -> None:
            site.receiver.ask("take")
            for start in range(0, count, 500):
                await asyncio.gather(*map(publish, range(start, min(start + 500, count))))
            await wait_until_async(lambda: site.receiver.ask("count") >= count, 600)

        await burst(deliveries // 10)  # connections, caches, slow start
        before, began_at = site.used(), time.perf_counter()
        await burst(deliveries)
        seconds, after = time.perf_counter() - began_at, site.used()
    parts = {name: (used - before[name]) / deliveries * 1e6 for name, used in after.items()}
    return parts, deliveries / seconds


async def _latency(site: Site, events: int) -> tuple[float, float]:
    """Return the median and the 99th percentile in ms, of events at a steady rate."""
    async with publishing(site) as publish:
        await publish(0)
        await wait_until_async(lambda: site.receiver.ask("count") > 0, 60)
        await asyncio.sleep(3)
        site.receiver.ask("take")
        began_at = time.perf_counter()
        for number in range(events):
            await asyncio.sleep(max(began_at + number / _RATE - time.perf_counter(), 0))
            await publish(number)
        await wait_until_async(lambda: site.receiver.ask("count") >= events, 60)
        ranked = statistics.quantiles(site.receiver.ask("take"), n=100)
    return ranked[49] * 1000, ranked[98] * 1000


def _many(directory: Path, endpoints: int, tell: Callable[[str], None]) -> list[Sequence[str]]:
    tell(f"outbound: {endpoints:,} endpoints, of which a tenth hangs")
    healthy = _with_many(directory / "healthy", endpoints, 0)
    hanging = _with_many(directory / "hanging", endpoints, endpoints // 10)
    ratio = hanging.p99 / healthy.p99
    tell(f"outbound: {healthy.p99:.1f} and {hanging.p99:.1f} ms, {hanging.hanging} hang at a time")
    some = f"{endpoints // 10:,} of {endpoints:,} hanging"
    return [
        (f"healthy p99 with {some}, of without", f"{ratio:.2f}", *judged(ratio, _MAX_RATIO)),
        ("attempts that hang at a time", f"{hanging.hanging}", *judged(hanging.hanging, _MAX_HANGING)),
        (
            "memory of the process, MiB",
            f"{hanging.memory / 2**20:.0f}",
            *judged(hanging.memory / 2**20, _MAX_MEMORY / 2**20),
        ),
    ]


def _with_many(directory: Path, endpoints: int, hanging: int) -> _Many:
    with open_site(directory, endpoints, hanging, is_embedded=True) as site:
        return asyncio.run(_of_many(site, endpoints, hanging))


async def _of_many(site: Site, endpoints: int, hanging: int) -> _Many:
    most = 0
    async with publishing(site) as publish:

        async def pace(seconds: float, *, counts: bool) -> None:
            nonlocal most
            began_at, events = time.perf_counter(), int(seconds * _RATE_OF_MANY)
            async with asyncio.TaskGroup() as group:
                for number in range(events):
                    await asyncio.sleep(max(began_at + number / _RATE_OF_MANY - time.perf_counter(), 0))
                    # A prime, so that each endpoint has its turn, those that hang among the others.
                    group.create_task(publish(number, key_of(number * 7919 % endpoints)))
                    if counts and number % int(_RATE_OF_MANY) == 0:
                        most = max(most, site.receiver.ask("hanging"))

        await pace(endpoints / _RATE_OF_MANY + _DEADLINE + 3, counts=False)
        site.receiver.ask("take")
        await pace(20, counts=hanging > 0)
        await asyncio.sleep(3)
    return _Many(
        statistics.quantiles(site.receiver.ask("take"), n=100)[98] * 1000, resident_bytes(site.pid), most
    )
