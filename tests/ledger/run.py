"""One run, from the first calm events to the balance of the book."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import uvloop

from ledger.balance import Balance
from ledger.book import Book, State
from ledger.consumer import Consumer
from ledger.events import Events
from ledger.evidence import read_evidence
from ledger.faults import Kind, World, gateway_and_clients
from ledger.gauge import Gauge
from ledger.nemesis import Nemesis
from ledger.senders import Senders
from support.gateway_process import GatewayProcess, Secrets, Section
from support.waiting import wait_until_async

# A quarter of what is usual, so that a lease ends while its event is still being retried.
DEADLINE = 2.0
_LEASE = 2 * DEADLINE
_SETTINGS = {
    "server": {"deadline": f"{DEADLINE:g}s"},
    "dedupe": {"lease": f"{_LEASE:g}s"},
    "rabbitmq": {"confirm_timeout": "500ms"},
    "spool": {"max_size": "8MiB"},
}
_PATIENCE = 0.5  # of what a sender has; still more than twice the deadline
_COMPRESSION = 5_000  # 75 hours are less than a minute
_REPORT_EVERY = 10.0
_TIME_TO_END = 120.0
_SPOOLED = re.compile(rb"^webhook_spooled ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Plan:
    """The least amounts of a run.

    Attributes:
        events: new events.
        faults: faults beside the kills.
        kills: kills of the gateway.
        seed: of all choices.
        connections: of the senders.
        rate: new events a second; 0 for as many as go.
    """

    events: int
    faults: int
    kills: int
    seed: int
    connections: int = 32
    rate: float = 0.0

    @property
    def seconds(self) -> float:
        """How long the events take at their rate; 0 if they go as fast as they can."""
        return self.events / self.rate if self.rate else 0.0


class Servers(Protocol):
    """The servers that the gateway needs.

    Attributes:
        settings: the sections of the configuration that name them.
        broker_urls: where events are consumed: the addresses of RabbitMQ, or of its nodes.
        kinds: what can happen to each of them. One target has one fault at a time; several targets may have theirs at once.
    """

    settings: dict[str, Section]
    broker_urls: list[str]
    kinds: dict[str, tuple[Kind, ...]]


def run(plan: Plan, folder: Path, servers: Servers, tell: Callable[[str], None]) -> Balance:
    """Carry the plan out in an empty folder, and report progress to ``tell``."""
    settings = {
        name: {**_SETTINGS.get(name, {}), **servers.settings.get(name, {})}
        for name in (*_SETTINGS, *servers.settings)
    }
    # It may have to come back while RabbitMQ is away.
    gateway = GatewayProcess(folder, Secrets(), overrides=settings, wait_ready=False)
    with gateway:
        gateway.wait_ready()
        port = urlsplit(gateway.url).port
        assert port is not None
        events = Events(f"{plan.seed:04x}", gateway.secrets, port)
        book = Book()
        senders = Senders(
            events,
            book,
            port,
            connections=plan.connections,
            rate=plan.rate,
            compression=_COMPRESSION,
            patience=_PATIENCE,
            seed=plan.seed,
        )
        dice = random.Random(f"{plan.seed} contents")
        world = World(gateway, port, events, senders, dice)
        consumer = Consumer(servers.broker_urls, events, book)
        nemesis = Nemesis(
            gateway_and_clients(world) | servers.kinds, book, plan.seed, plan.kills, plan.faults, plan.seconds
        )
        return uvloop.run(_Run(plan, world, book, consumer, nemesis, tell).run())


class _Run:
    def __init__(
        self,
        plan: Plan,
        world: World,
        book: Book,
        consumer: Consumer,
        nemesis: Nemesis,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._world = world
        self._book = book
        self._consumer = consumer
        self._tell = tell
        self._gauge = Gauge(world.gateway)
        self._nemesis = nemesis

    async def run(self) -> Balance:
        await self._consumer.bind_queue()
        background = [asyncio.create_task(self._consumer.run()), asyncio.create_task(self._gauge.run())]
        sending = asyncio.create_task(self._world.senders.run())
        try:
            await self._send_calmly(sending)
            self._nemesis.start()
            try:
                await self._send_through_faults(sending)
            finally:
                await asyncio.to_thread(self._nemesis.stop)
            await self._settle(sending)
        finally:
            for task in (*background, sending):
                task.cancel()
            await asyncio.gather(*background, sending, return_exceptions=True)
        world = self._world
        evidence = await asyncio.to_thread(read_evidence, world.gateway, world.events)
        return Balance(
            self._book, world.events, self._gauge, evidence, self._plan.seed, DEADLINE, world.gateway.log
        )

    async def _send_calmly(self, sending: asyncio.Task[None]) -> None:
        """A twentieth of the events before the first fault: of those there must be one copy each."""
        share = self._plan.events // 20
        await wait_until_async(
            lambda: self._book.events >= share or sending.done(),
            600.0,
            "events were sent before the first fault",
        )
        self._world.senders.is_calm = False
        begun = self._book.events
        await wait_until_async(
            lambda: (
                (self._book.arrivals >= begun and State.CALM not in self._book.states[:begun])
                or sending.done()
            ),
            60.0,
            "they were all answered and consumed",
        )

    async def _send_through_faults(self, sending: asyncio.Task[None]) -> None:
        told = self._book.now()
        plan, book, nemesis = self._plan, self._book, self._nemesis
        while book.events < plan.events or nemesis.faults < plan.faults or nemesis.kills < plan.kills:
            await asyncio.sleep(0.1)
            if sending.done() or nemesis.has_failed:
                break
            if book.now() - told >= _REPORT_EVERY:
                told = book.now()
                self._tell(
                    f"{told:6.0f} s  {book.events:,} events, {book.open_events:,} open, {book.arrivals:,} arrivals, "
                    f"{nemesis.faults} faults, {nemesis.kills} kills"
                )
        self._world.senders.end()

    async def _settle(self, sending: asyncio.Task[None]) -> None:
        """Wait without faults until leases have ended, retries are done and the spool is empty."""
        self._tell(f"{self._book.now():6.0f} s  no more faults; {self._book.open_events:,} events are open")
        await asyncio.to_thread(self._world.gateway.wait_ready, 60.0)
        await asyncio.sleep(2 * _LEASE)
        self._world.senders.hurry()
        # What does not come to an end in this time is found in the balance.
        await asyncio.wait([sending], timeout=_TIME_TO_END)
        if sending.done():
            sending.result()
        with suppress(TimeoutError):
            async with asyncio.timeout(_TIME_TO_END):
                while not await self._is_drained():
                    self._tell(f"{self._book.now():6.0f} s  draining")
        self._gauge.sample()

    async def _is_drained(self) -> bool:
        """Whether nothing waits anywhere, and nothing came for a second."""
        before = self._book.arrivals
        await asyncio.sleep(1.0)
        metrics = await asyncio.to_thread(self._world.gateway.get, "/metrics", admin=True)
        found = _SPOOLED.search(metrics.content)
        assert found
        return float(found[1]) == 0 and await self._consumer.is_drained() and self._book.arrivals == before
