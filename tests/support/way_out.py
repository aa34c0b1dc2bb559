"""A way out over the store in memory, with a clock that costs no time and receivers that are functions."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from gateway.config import Config
from gateway.observability.outbound_counters import OutboundMetrics, outbound_counters
from gateway.outbound.accept import Accepted, Incoming
from gateway.outbound.addresses import AddressRules
from gateway.outbound.client import OutboundRequest, Result
from gateway.outbound.cloudevent import read_event
from gateway.outbound.engine import WayOut
from gateway.outbound.models import Attempt, Delivery, DeliveryState
from gateway.outbound.outcomes import Outcome
from gateway.outbound.store import DeliveryFilter
from gateway.outbound.store.memory import MemoryStore
from support.virtual_time import VirtualTimeLoop

START = 1_795_251_502.0
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

Receive = Callable[["Sent"], Awaitable[Result]]

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """A request that arrived at a receiver."""

    host: str
    at: float
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The event."""
        return json.loads(self.body)

    @property
    def id(self) -> str:
        """The id of the event."""
        return str(self.event["id"])


def answer(status: int = 200, ms: float = 5.0, **headers: str) -> Result:
    """How a request ends."""
    outcome = Outcome.DELIVERED if status < 300 else Outcome.STATUS
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Result(outcome, status=status, ms=ms, headers=named)


class Receivers:
    """In place of the client: every host answers as a function of the test says, and else 200."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.sent: list[Sent] = []
        self.by_host: dict[str, Receive] = {}
        self.in_flight: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def send(self, request: OutboundRequest, rules: AddressRules | None = None) -> Result:
        """See :meth:`gateway.outbound.client.Client.send`."""
        host = request.url.split("/")[2]
        sent = Sent(host, self._now(), request.headers, request.body)
        self.sent.append(sent)
        self.in_flight[host] += 1
        self.most[host] = max(self.most[host], self.in_flight[host])
        try:
            async with asyncio.timeout(request.timeout):
                if receive := self.by_host.get(host):
                    return await receive(sent)
                return answer()
        except TimeoutError:
            return Result(Outcome.TIMEOUT_HEAD, ms=request.timeout * 1000)
        finally:
            self.in_flight[host] -= 1

    def to(self, host: str) -> list[Sent]:
        """Return what arrived at a host."""
        return [each for each in self.sent if each.host == host]


@dataclass
class Site:
    """A way out under test."""

    config: Config
    store: MemoryStore
    receivers: Receivers
    now: Callable[[], float]
    ways: list[WayOut] = field(default_factory=list)
    number: int = 0

    async def start(self, **settings: Any) -> WayOut:
        """Start a process."""
        counters = outbound_counters()
        way = WayOut(
            self.config,
            self.store,
            self.receivers,
            None,
            OutboundMetrics(counters),
            time_of_day=self.now,
            random=Random(1),
            **settings,
        )
        self.ways.append(way)
        await way.start()
        await asyncio.sleep(0.5)
        return way

    async def emit(self, key: str = "shop.order.paid", way: WayOut | None = None, **members: Any) -> Accepted:
        """Have an event accepted."""
        self.number += 1
        event = {"specversion": "1.0", "id": f"evt_{self.number}", "source": "/shop", "type": "t", "data": {}}
        body = json.dumps({**event, **members}).encode()
        (accepted,) = await (way or self.ways[0]).acceptor.accept([Incoming(read_event(body), key, body)])
        return accepted

    async def deliveries(self, *states: DeliveryState) -> list[Delivery]:
        """Return deliveries in these states, oldest first."""
        return await self.store.deliveries(DeliveryFilter(states=states), limit=10_000, oldest_first=True)

    async def attempts(self, delivery: Delivery) -> list[Attempt]:
        """Return the attempts of a delivery."""
        return await self.store.attempts(delivery.id)


def configuration(endpoints: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return a configuration with these endpoints, each with a host of its name."""
    usual = {"events": ["#"], "secrets": [SECRET]}
    return Config.model_validate(
        {
            "providers": {"stripe": {"adapter": "stripe", "secrets": ["correct horse battery"]}},
            "endpoints": {
                name: {"url": f"https://{name}.acme.com/hooks", **usual, **settings}
                for name, settings in endpoints.items()
            },
        }
    )


def run(
    test: Callable[[Site], Coroutine[Any, Any, T]], endpoints: Mapping[str, Mapping[str, Any]] | None = None
) -> T:
    """Run a test on an event loop whose time costs nothing, and stop what it has started."""

    async def whole() -> T:
        loop = asyncio.get_running_loop()

        def now() -> float:
            return START + loop.time()

        site = Site(configuration(endpoints or {"shop": {}}), MemoryStore(now), Receivers(now), now)
        try:
            return await test(site)
        finally:
            for way in site.ways:
                await way.stop()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(whole())
