"""The way out as a program of its own, between real queues, a real database, and receivers on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway.backends import open_inspection, open_outbound_intake, open_outbound_store
from gateway.config import Config, load_config
from gateway.config.value_checks import EMBEDDED
from gateway.events.message import Message
from gateway.outbound.intake import AGENTS_EXCHANGE
from gateway.outbound.models import Delivery, DeliveryState
from gateway.outbound.store import DeliveryFilter, Store
from gateway.publishers import Publisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.transport.embedded import Database
from support.gateway_process import Program
from support.receivers import Received, Receiver
from support.repository import ROOT
from support.waiting import wait_until_async

LAUNCHER = ROOT / "tests/faults/way_out_at.py"
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

_PAGE = 5_000
"""Deliveries that are read at a time."""

T = TypeVar("T")


class WayOutProgram(Program):
    """A process of the way out.

    Args:
        config: Its configuration.
        point: Where it kills itself: a target and a moment, as ``die_at.py`` takes them; nowhere if there is none.
    """

    def __init__(self, config: Path, *point: str) -> None:
        super().__init__(config.parent, str(config), *point)
        self.program = (sys.executable, str(LAUNCHER))
        self.stdout_path = config.parent / "way-out.stdout"


class WayOutSite:
    """A configuration, and what its queues and its database have.

    Args:
        folder: Where its data are.
        receivers: The receivers of its endpoints by their names.
        settings: Settings of endpoints that differ from the usual ones.
        rabbitmq_url: Embedded when left out.
        postgres_url: Embedded when left out.
    """

    def __init__(
        self,
        folder: Path,
        receivers: Mapping[str, Receiver],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        rabbitmq_url: str = "",
        postgres_url: str = "",
    ) -> None:
        self.path = folder / "config.yaml"
        self.receivers = receivers
        self._content: dict[str, Any] = {
            "data_dir": str(folder / "var"),
            "redis": {"url": EMBEDDED},
            "rabbitmq": {"url": rabbitmq_url or EMBEDDED},
            "postgres": {"url": postgres_url or EMBEDDED},
            "outbound": {"allow_http": True, "keys": [base64.b64encode(bytes(range(32))).decode()]},
            "providers": {"stripe": {"adapter": "stripe", "secrets": ["whsec_for-these-tests-alone"]}},
        }
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, Mapping[str, Any]], **sections: Any) -> None:
        """Write the configuration: an endpoint for each receiver, with these settings."""
        usual = {"events": ["#"], "secrets": [SECRET], "allow_private": True, "timeout": "2s"}
        endpoints = {
            name: {"url": receiver.url, **usual, **settings.get(name, {})}
            for name, receiver in self.receivers.items()
        }
        self.path.write_text(json.dumps({**self._content, "endpoints": endpoints, **sections}))

    @property
    def config(self) -> Config:
        """Return the configuration."""
        return load_config(self.path)

    def program(self, *point: str) -> WayOutProgram:
        """Return a process, which is not started."""
        return WayOutProgram(self.path, *point)

    def declare(self) -> None:
        """Declare both queues, as the way out does when it starts."""

        async def declare() -> None:
            config = self.config
            for exchange in (config.rabbitmq.exchange, AGENTS_EXCHANGE):
                async with open_outbound_intake(config, exchange) as intake:
                    await intake.bind(["#"])

        asyncio.run(declare())

    def publish(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Publish events of an agent, one after another, until each is confirmed."""
        asyncio.run(self._publish([json.dumps({**EVENT, **each}).encode() for each in events]))

    def publish_bodies(self, *bodies: bytes) -> None:
        """Publish what an agent may send by mistake."""
        asyncio.run(self._publish(list(bodies)))

    def quarantine(self, body: bytes, violations: str) -> None:
        """Put what an agent has published into the quarantine."""

        async def move() -> None:
            async with open_outbound_intake(self.config, AGENTS_EXCHANGE) as intake:
                await intake.bind(["#"])
                await self._publish([body])
                arrivals = await intake.receive(1)
                await intake.quarantine(arrivals[0], violations)
                await intake.acknowledge(arrivals)

        asyncio.run(move())

    async def _publish(self, bodies: list[bytes]) -> None:
        config = self.config
        publisher: Publisher
        if config.rabbitmq.url == EMBEDDED:
            publisher = SqlitePublisher(Database(config.data_dir), AGENTS_EXCHANGE)
        else:
            publisher = RabbitPublisher(config.rabbitmq.nodes, AGENTS_EXCHANGE, 10.0)
        await publisher.start()
        try:
            await wait_until_async(lambda: not publisher.unavailable_reason)
            for body in bodies:
                await publisher.publish(Message(AGENTS_EXCHANGE, "agent.run.completed", "id", "t", {}, body))
        finally:
            await publisher.stop()

    def waiting(self, queue: str) -> int:
        """Return how many messages are in a queue."""

        async def count() -> int:
            async with open_inspection(self.config) as queues:
                return sum(each.ready for each in await queues.depths([queue]))

        return asyncio.run(count())

    def ask(self, question: Callable[[Store], Awaitable[T]]) -> T:
        """Ask the database."""

        async def ask() -> T:
            store = open_outbound_store(self.config)
            await store.start()
            try:
                return await question(store)
            finally:
                await store.stop()

        return asyncio.run(ask())

    def deliveries(self, *states: DeliveryState) -> list[Delivery]:
        """Return deliveries in these states, oldest first."""
        wanted = DeliveryFilter(states=states)

        async def read(store: Store) -> list[Delivery]:
            found: list[Delivery] = []
            while page := await store.deliveries(
                wanted, after=found[-1].id if found else "", limit=_PAGE, oldest_first=True
            ):
                found += page
            return found

        return self.ask(read)

    def wait_for_deliveries(self, number: int, state: DeliveryState = DeliveryState.DELIVERED) -> None:
        """Wait until so many deliveries are in a state."""
        wanted = DeliveryFilter(states=(state,))

        async def wait(store: Store) -> None:
            async def are_there() -> bool:
                return await store.count(wanted) >= number

            _: bool = await wait_until_async(are_there, message=f"{number} deliveries are {state}")

        self.ask(wait)


EVENT = {
    "specversion": "1.0",
    "id": "evt_0",
    "source": "/agents/billing",
    "type": "agent.run.completed",
    "data": {"run_id": "run_1", "status": "completed"},
}
"""What every event has."""


def by_id(requests: Iterable[Received]) -> dict[str, list[Received]]:
    """Return requests by their `webhook-id`."""
    found: defaultdict[str, list[Received]] = defaultdict(list)
    for each in requests:
        found[each.headers["webhook-id"]].append(each)
    return found


def is_same(requests: Iterable[Received]) -> bool:
    """Return whether requests have the same body."""
    with suppress(StopIteration):
        first = next(iterator := iter(requests))
        return all(each.body == first.body for each in iterator)
    return True
