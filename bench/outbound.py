"""The way out: what a delivery costs, how long it takes, and what receivers that hang cost the others."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bench.clocks import cpu_seconds_of
from bench.grid import Grid, judged
from bench.meter import cpu_seconds, resident_bytes
from gateway.events.message import Message
from gateway.hosting.outbound.launch import MODULE
from gateway.publishers import Publisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from support.gateway_process import GatewayProcess, Secrets
from support.ports import free_port
from support.postgresql_server import PostgreSQLServer
from support.process import descendants, is_companion
from support.rabbitmq_server import RabbitMQServer
from support.waiting import wait_until, wait_until_async

DELIVERIES = 10_000
"""Deliveries whose cost is measured, unless the command line says how many."""

ENDPOINTS = 1_000
"""Endpoints of which a tenth hangs, unless the command line says how many."""

_RATE = 100.0
"""Events a second when latency is measured."""

_MAX_EMBEDDED, _MAX_WITH_SERVERS = 400.0, 800.0
"""The goals for the processor time of a delivery, in µs."""

_MAX_P50, _MAX_P99 = 20.0, 70.0
"""The goals for latency, in ms."""

_MAX_RATIO = 2.0
_EVENT = {"specversion": "1.0", "source": "/acme", "type": "com.acme.order.paid", "provider": "acme"}
_PADDING = "x" * 1200

_NOTE = """\
Events of 1.5 KB, published to the exchange of the gateway by the benchmark, over plain HTTP and kept connections to a receiver
that answers 200 and is not counted. Processor time is that of the process of the way out, and with servers that of RabbitMQ
and PostgreSQL besides. Latency is from the moment before an event is published to its arrival. Of the endpoints, the tenth that
hangs gets every event too."""


class _Receiver:
    """The receiver, in a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.receiver", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        self._out.readline()

    def ask(self, what: str) -> Any:
        """Return the answer to a line."""
        self._in.write(what + "\n")
        self._in.flush()
        return json.loads(self._out.readline())

    def close(self) -> None:
        """End it."""
        self._in.close()
        self._process.wait(30)


class _Site:
    """A gateway with endpoints at a receiver, and a way to publish."""

    def __init__(
        self,
        gateway: GatewayProcess,
        open_publisher: Callable[[], Publisher],
        receiver: _Receiver,
        servers: Sequence[int],
    ) -> None:
        self.open_publisher = open_publisher
        self.receiver = receiver
        self._servers = servers
        self.pid = wait_until(
            lambda: next((each for each in descendants(gateway.child.pid) if is_companion(each, MODULE)), 0)
        )

    def used(self) -> tuple[float, float]:
        """Return the processor seconds of the way out, and of it and the servers."""
        own = cpu_seconds_of(self.pid)
        return own, own + sum(map(cpu_seconds, self._servers))


def measure(directory: Path, deliveries: int, endpoints: int, tell: Callable[[str], None]) -> list[Grid]:
    """Measure the way out embedded, and with RabbitMQ and PostgreSQL."""
    rows: list[Sequence[str]] = []
    for is_embedded in (True, False):
        name = "embedded" if is_embedded else "with servers"
        tell(f"outbound: {deliveries:,} deliveries, {name}")
        with _site(directory / name, 1, is_embedded=is_embedded) as site:
            own, whole, rate = asyncio.run(_cost(site, deliveries))
            goal = _MAX_EMBEDDED if is_embedded else _MAX_WITH_SERVERS
            rows.append((f"CPU µs a delivery, {name}", f"{whole:.0f}", *judged(whole, goal)))
            if not is_embedded:
                rows.append(("of these the gateway's", f"{own:.0f}", "", ""))
            rows.append((f"deliveries/s, {name}", f"{rate:,.0f}", "", ""))
            p50, p99 = asyncio.run(_latency(site, 1_000))
            rows.append((f"p50 ms at 100/s, {name}", f"{p50:.1f}", *judged(p50, _MAX_P50)))
            rows.append((f"p99 ms at 100/s, {name}", f"{p99:.1f}", *judged(p99, _MAX_P99)))
            tell(f"outbound: {whole:.0f} µs a delivery, {p50:.1f} and {p99:.1f} ms")
    tell(f"outbound: {endpoints:,} endpoints, of which a tenth hangs")
    healthy = _p99_of_one(directory / "healthy", endpoints, 0)
    hanging = _p99_of_one(directory / "hanging", endpoints, endpoints // 10)
    ratio = hanging[0] / healthy[0]
    rows.append(
        (
            f"healthy p99 with {endpoints // 10:,} of {endpoints:,} hanging, of without",
            f"{ratio:.2f}",
            *judged(ratio, _MAX_RATIO),
        )
    )
    rows.append(("memory of the process, MiB", f"{hanging[1] / 2**20:.0f}", *judged(hanging[1] / 2**20, 300)))
    return [Grid("The way out", ("", "measured", "goal", "kept"), rows, _NOTE)]


@contextmanager
def _site(directory: Path, endpoints: int, hanging: int = 0, *, is_embedded: bool) -> Iterator[_Site]:
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        receiver = _Receiver()
        stack.callback(receiver.close)
        overrides: dict[str, Any] = {
            "endpoints": {
                f"e{number}": {
                    "url": f"http://127.0.0.1:{receiver.port}/{'hang' if number < hanging else 'hook'}",
                    # With many endpoints each has a hundredth of the events, and those that hang get all.
                    "events": ["acme.#"]
                    if endpoints == 1 or number < hanging
                    else [f"acme.order.n{number % 100}"],
                    "secrets": [f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"],
                    "allow_private": True,
                    "concurrency": 64,
                }
                for number in range(endpoints)
            },
            "outbound": {"allow_http": True},
        }
        url, servers = "", []
        if not is_embedded:
            rabbitmq = stack.enter_context(RabbitMQServer())
            postgresql = stack.enter_context(PostgreSQLServer())
            url = rabbitmq.url
            servers = [rabbitmq.pid, postgresql.pid]
            overrides["postgres"] = {"url": postgresql.database_url(postgresql.create_database())}
            overrides["outbound"]["keys"] = [base64.b64encode(secrets.token_bytes(32)).decode()]
        gateway = stack.enter_context(
            GatewayProcess(directory, Secrets(), overrides=overrides, rabbitmq_url=url)
        )
        gateway.wait_for('"exchange":"webhooks","patterns"')

        def open_publisher() -> Publisher:
            if is_embedded:
                return SqlitePublisher(Database(directory / "var"), "webhooks")
            return RabbitPublisher(BrokerNodes(url), "webhooks", 30.0)

        yield _Site(gateway, open_publisher, receiver, servers)


@asynccontextmanager
async def _publishing(site: _Site) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Connect a publisher, which belongs to one event loop; yield what publishes an event by its number and its key."""
    publisher = site.open_publisher()
    await publisher.start()
    await wait_until_async(lambda: not publisher.unavailable_reason)

    async def publish(number: int, key: str = "acme.order.paid") -> None:
        event_id = f"evt_{number}_{secrets.token_hex(4)}"
        data = {"sent_at": time.time(), "padding": _PADDING}
        body = json.dumps({**_EVENT, "id": event_id, "data": data}).encode()
        await publisher.publish(Message("webhooks", key, event_id, "com.acme.order.paid", {}, body))

    try:
        yield publish
    finally:
        await publisher.stop()


async def _cost(site: _Site, deliveries: int) -> tuple[float, float, float]:
    """Return the µs of the way out, those of it and the servers, and the deliveries a second."""
    async with _publishing(site) as publish:

        async def burst(count: int) -> None:
            site.receiver.ask("take")
            for start in range(0, count, 500):
                await asyncio.gather(*map(publish, range(start, min(start + 500, count))))
            await wait_until_async(lambda: site.receiver.ask("count") >= count, 600)

        await burst(deliveries // 10)  # connections, caches, slow start
        before, began_at = site.used(), time.perf_counter()
        await burst(deliveries)
        seconds, after = time.perf_counter() - began_at, site.used()
    own, whole = ((after[each] - before[each]) / deliveries * 1e6 for each in (0, 1))
    return own, whole, deliveries / seconds


async def _latency(
    site: _Site, events: int, keys: Sequence[str] = ("acme.order.paid",)
) -> tuple[float, float]:
    """Return the median and the 99th percentile in ms, of events at a steady rate."""
    async with _publishing(site) as publish:
        for key in keys:
            await publish(0, key)
        await wait_until_async(lambda: site.receiver.ask("count") > 0, 60)
        await asyncio.sleep(3)
        site.receiver.ask("take")
        began_at = time.perf_counter()
        for number in range(events):
            await asyncio.sleep(max(began_at + number / _RATE - time.perf_counter(), 0))
            await publish(number, keys[number % len(keys)])
        await asyncio.sleep(5)
        delays = site.receiver.ask("take")
    ranked = statistics.quantiles(delays, n=100)
    return ranked[49] * 1000, ranked[98] * 1000


def _p99_of_one(directory: Path, endpoints: int, hanging: int) -> tuple[float, int]:
    """Return the 99th percentile of healthy endpoints in ms, and the memory of the process."""
    with _site(directory, endpoints, hanging, is_embedded=True) as site:
        keys = [f"acme.order.n{number}" for number in range(100)]
        asyncio.run(_latency(site, 500, keys))  # those that hang are known as slow by then
        _, p99 = asyncio.run(_latency(site, 1_000, keys))
        return p99, resident_bytes(site.pid)
