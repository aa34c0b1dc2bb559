"""Events are taken from a queue: acknowledged once they are written, and never before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from gateway.outbound import taking
from gateway.outbound.accept import Accepted, Acceptor, Incoming
from gateway.outbound.directory import Directory
from gateway.outbound.intake import Arrival, Intake
from gateway.outbound.store import StoreUnavailable
from gateway.outbound.store.memory import MemoryStore
from gateway.outbound.taking import Taker, read_emitted
from support.waiting import wait_until_async


class Broker(Intake):
    """A queue in memory."""

    def __init__(self, *bodies: bytes) -> None:
        self.waiting = [Arrival(body, "agent.run.completed", number) for number, body in enumerate(bodies, 1)]
        self.steps: list[str] = []
        self.patterns: list[set[str]] = []
        self.opened = 0
        self.fails = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Intake]:
        """Open it, unless it is away."""
        self.opened += 1
        if self.opened <= self.fails:
            raise OSError("away")
        yield self

    async def bind(self, patterns: Collection[str]) -> None:
        """Note the patterns."""
        self.patterns.append(set(patterns))

    async def receive(self, limit: int) -> list[Arrival]:
        """Return all there is."""
        while not self.waiting:
            await asyncio.sleep(0.001)
        found, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return found

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """Note it."""
        self.steps.append("acknowledged " + ",".join(str(each.tag) for each in arrivals))

    async def quarantine(self, arrival: Arrival, violations: str) -> None:
        """Note it."""
        self.steps.append(f"quarantined {arrival.tag}: {violations}")


class Writer(Acceptor):
    """Notes what is accepted, and can be away."""

    def __init__(self, broker: Broker) -> None:
        store = MemoryStore()
        super().__init__(store, Directory(store), lambda: 1.0)
        self._broker = broker
        self.fails = 0

    async def accept(self, events: Sequence[Incoming]) -> list[Accepted]:
        """Note it."""
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("away")
        self._broker.steps.append("written " + ",".join(each.event.id for each in events))
        return []


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "_RETRY_DELAY", 0.001)


def event(event_id: str) -> bytes:
    """An event."""
    return json.dumps({"id": event_id, "source": "/a", "type": "t", "data": {}}).encode()


@asynccontextmanager
async def taker_of(broker: Broker, writer: Writer, patterns: set[str]) -> AsyncIterator[Taker]:
    """Let a taker run."""
    taker = Taker("agents", broker.open, read_emitted, writer, lambda: patterns)
    running = asyncio.create_task(taker.run())
    try:
        yield taker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_events_are_written_and_then_acknowledged() -> None:
    """What is no event is quarantined before that; the rest of the batch goes on."""
    broker = Broker(event("evt_1"), b"no event", event("evt_2"))
    async with taker_of(broker, Writer(broker), {"#"}):
        await wait_until_async(lambda: len(broker.steps) == 3)
    assert broker.steps[0].startswith("quarantined 2: is no CloudEvent")
    assert broker.steps[1:] == ["written evt_1,evt_2", "acknowledged 1,2,3"]


async def test_nothing_is_acknowledged_while_the_database_is_away() -> None:
    """It is written when the database is back; one line says so."""
    broker = Broker(event("evt_1"))
    writer = Writer(broker)
    writer.fails = 3
    with capture_logs() as logs:
        async with taker_of(broker, writer, {"#"}):
            await wait_until_async(lambda: len(broker.steps) == 2)
    assert broker.steps == ["written evt_1", "acknowledged 1"]
    assert [line["event"] for line in logs].count("events wait for the database") == 1


async def test_a_broker_that_is_away_is_opened_again() -> None:
    """One line says so."""
    broker = Broker(event("evt_1"))
    broker.fails = 3
    with capture_logs() as logs:
        async with taker_of(broker, Writer(broker), {"#"}):
            await wait_until_async(lambda: len(broker.steps) == 2)
    assert [line["event"] for line in logs].count("cannot take events") == 1


async def test_the_queue_is_bound_again_when_the_patterns_change() -> None:
    """And not when they are the same."""
    broker, patterns = Broker(), {"a.#"}
    async with taker_of(broker, Writer(broker), patterns) as taker:
        await wait_until_async(lambda: len(broker.patterns) == 1)
        taker.rebind()
        await taker.bound(30)
        patterns.add("b.#")
        taker.rebind()
        await taker.bound(30)
    assert broker.patterns == [{"a.#"}, {"a.#", "b.#"}]
