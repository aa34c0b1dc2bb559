"""The queues of the way out, over both brokers: bound as endpoints need them, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from gateway.events.message import Message
from gateway.outbound.intake import MAX_PATTERNS, Arrival, Intake, needed_patterns
from gateway.outbound.intake.rabbitmq import open_rabbitmq_intake
from gateway.outbound.intake.sqlite import open_sqlite_intake
from gateway.publishers import Publisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.rabbitmq import open_rabbitmq_queue
from gateway.queues.dead_letters.sqlite import open_sqlite_queue
from gateway.queues.embedded import SqliteConsumer
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from support.waiting import wait_until_async

EXCHANGE = "agents"


class Site:
    """One broker."""

    def __init__(
        self,
        publisher: Publisher,
        open_intake: Callable[[], AbstractAsyncContextManager[Intake]],
        browse: Callable[[str], Awaitable[list[DeadLetter]]],
    ) -> None:
        self.open = open_intake
        self.browse = browse
        self._publisher = publisher

    async def publish(self, key: str, number: int = 0) -> None:
        """Publish an event."""
        body = json.dumps({"id": f"id-{number}", "data": {}}).encode()
        await self._publisher.publish(Message(EXCHANGE, key, f"id-{number}", "t", {}, body))


@pytest.fixture(params=["embedded", "rabbitmq"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Each of the brokers."""
    if request.param == "embedded":
        publisher: Publisher = SqlitePublisher(Database(tmp_path), EXCHANGE)

        async def browse(queue: str) -> list[DeadLetter]:
            async with open_sqlite_queue(Database(tmp_path), queue, None) as letters:
                return [each async for each in letters.browse()]

        made = Site(publisher, lambda: open_sqlite_intake(Database(tmp_path), EXCHANGE), browse)
    else:
        url = request.getfixturevalue("rabbitmq_url")
        publisher = RabbitPublisher(BrokerNodes(url), EXCHANGE, 10.0)

        async def browse(queue: str) -> list[DeadLetter]:
            async with open_rabbitmq_queue(BrokerNodes(url), queue, None) as letters:
                return [each async for each in letters.browse()]

        made = Site(publisher, lambda: open_rabbitmq_intake(BrokerNodes(url), EXCHANGE), browse)
    await publisher.start()
    await wait_until_async(lambda: not publisher.unavailable_reason)
    yield made
    await publisher.stop()


async def keys_of(intake: Intake, count: int) -> list[str]:
    """Receive and acknowledge so many events; return their routing keys."""
    found: list[str] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            arrivals = await intake.receive(100)
            found += [each.routing_key for each in arrivals]
            await intake.acknowledge(arrivals)
    return found


async def test_events_that_are_wanted_arrive_in_their_order(site: Site) -> None:
    """And no others."""
    async with site.open() as intake:
        await intake.bind(["a.#", "b.x"])
        for number, key in enumerate(("a.1", "c.1", "b.x", "b.y", "a.2.3")):
            await site.publish(key, number)

        assert await keys_of(intake, 3) == ["a.1", "b.x", "a.2.3"]


async def test_what_was_not_acknowledged_arrives_again(site: Site) -> None:
    """At the next process, without anything that was acknowledged."""
    async with site.open() as intake:
        await intake.bind(["#"])
        for number in range(3):
            await site.publish(f"a.{number}", number)
        first = await _receive(intake, 3)
        await intake.acknowledge(first[:1])
    async with site.open() as intake:
        assert await keys_of(intake, 2) == ["a.1", "a.2"]


async def test_a_pattern_that_nobody_needs_is_unbound(site: Site) -> None:
    """Also one of a process that ended before."""
    async with site.open() as intake:
        await intake.bind(["a.#", "b.#"])
    async with site.open() as intake:
        await intake.bind(["b.#", "c.#"])
        for key in ("a.1", "b.1", "c.1"):
            await site.publish(key)
        assert await keys_of(intake, 2) == ["b.1", "c.1"]
        await intake.bind([])
        await site.publish("b.2")
        assert [each.routing_key for each in await site.browse(f"{EXCHANGE}.unrouted")] == ["a.1", "b.2"]


async def test_what_is_no_event_goes_to_the_quarantine(site: Site) -> None:
    """With why, and with its routing key; the others go on."""
    async with site.open() as intake:
        await intake.bind(["#"])
        await site.publish("a.1", 1)
        await site.publish("a.2", 2)
        bad, good = await _receive(intake, 2)
        await intake.quarantine(bad, "/data: is missing")
        await intake.acknowledge([bad, good])
    (letter,) = await site.browse(f"{EXCHANGE}.quarantine")

    assert letter.headers["violations"] == "/data: is missing"
    assert (letter.routing_key, letter.body) == ("a.1", bad.body)
    async with site.open() as intake:
        await site.publish("a.3", 3)
        assert await keys_of(intake, 1) == ["a.3"]


async def test_what_a_killed_process_had_comes_first(tmp_path: Path) -> None:
    """At once, and before what came later, which it would overtake; nobody takes beside a process that lives."""
    publisher = SqlitePublisher(Database(tmp_path), EXCHANGE)
    await publisher.start()
    async with open_sqlite_intake(Database(tmp_path), EXCHANGE) as intake:
        await intake.bind(["#"])
        with pytest.raises(OSError, match="another process takes events from agents"):
            async with open_sqlite_intake(Database(tmp_path), EXCHANGE):
                pass
    for number in range(3):
        await publisher.publish(Message(EXCHANGE, f"a.{number}", f"id-{number}", "t", {}, b"{}"))
    killed = SqliteConsumer(Database(tmp_path), f"{EXCHANGE}.outbound")
    await killed.start()
    assert len(await killed.receive(2)) == 2
    async with open_sqlite_intake(Database(tmp_path), EXCHANGE) as intake:
        assert await keys_of(intake, 3) == ["a.0", "a.1", "a.2"]
    await killed.stop()
    await publisher.stop()


async def test_a_broker_that_is_away_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Whoever takes events waits for it."""
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1"):
        async with open_rabbitmq_intake(BrokerNodes("amqp://guest:guest@127.0.0.1:1/"), EXCHANGE):
            pass


def test_very_many_patterns_are_one() -> None:
    """AMQP would need a frame for each at every start; so are patterns that no key can match left out."""
    many = [f"a{number}.#" for number in range(MAX_PATTERNS + 1)]

    assert needed_patterns(many[:-1]) == frozenset(many[:-1])
    assert needed_patterns(many) == {"#"}
    assert needed_patterns(["a.b", "#"]) == {"#"}
    assert needed_patterns(["a b.#", "a.'"]) == frozenset()


async def _receive(intake: Intake, count: int) -> list[Arrival]:
    found: list[Arrival] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await intake.receive(count - len(found))
    return found
