"""The queue of reports: in memory, in the embedded database and in RabbitMQ, one set of promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika
import pytest

from gateway.journal.entry import Entry, Kind
from gateway.journal.reports import (
    MAX_REPORT_AGE,
    MAX_REPORT_SIZE,
    MAX_REPORTS,
    MAX_WAITING_SIZE,
    Carrier,
    Report,
    ReportSource,
    encode_report,
)
from gateway.journal.reports.memory import MemoryReports
from gateway.journal.reports.rabbitmq import RabbitCarrier, open_rabbitmq_reports
from gateway.journal.reports.sqlite import SqliteCarrier, open_sqlite_reports
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from support.rabbitmq_server import RabbitMQServer
from support.waiting import PATIENCE


@dataclass
class Clock:
    """A clock that the test moves."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Line:
    """One kind of queue: how to open its two ends."""

    carrier: Callable[[], Carrier]
    source: Callable[[], AbstractAsyncContextManager[ReportSource]]
    clock: Clock | None = field(default=None)


@pytest.fixture(params=["memory", "embedded", "rabbitmq"])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Line:
    """Return each kind of queue in turn."""
    clock = Clock()
    if request.param == "memory":
        memory = MemoryReports(clock)
        return Line(lambda: memory, memory.open, clock)
    if request.param == "embedded":
        return Line(
            lambda: SqliteCarrier(Database(tmp_path / "var"), clock),
            lambda: open_sqlite_reports(Database(tmp_path / "var"), clock),
            clock,
        )
    url = request.getfixturevalue("rabbitmq_url")
    return Line(
        lambda: RabbitCarrier(BrokerNodes(url), "webhooks"),
        lambda: open_rabbitmq_reports(BrokerNodes(url), "webhooks"),
    )


def report(number: int, detail: str = "") -> Report:
    """Return a report with one entry."""
    return Report([Entry(number, Kind.HANDLED, "handled", event_id=f"evt_{number}", detail=detail)])


async def send(line: Line, *bodies: bytes) -> None:
    """Send reports on a connection of their own."""
    carrier = line.carrier()
    await carrier.start()
    await carrier.send(bodies[0])
    for batch in batched(bodies[1:], 500):
        await asyncio.gather(*map(carrier.send, batch))
    await carrier.stop()


def batched(bodies: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Return the bodies in batches, which are sent without waiting for each."""
    yield from (bodies[start : start + size] for start in range(0, len(bodies), size))


async def numbers(line: Line, count: int) -> list[int]:
    """Receive and acknowledge reports; return the ids of their entries."""
    found = []
    async with line.source() as source:
        for _ in range(count):
            received = await source.receive(PATIENCE)
            assert received
            found += [entry.id for entry in received.report.entries]
            await source.acknowledge(received)
    return found


async def test_reports_arrive_in_order(line: Line) -> None:
    """Also those that were sent before anybody read; then nothing is left."""
    await send(line, *(encode_report(report(number)) for number in (1, 2, 3)))

    assert await numbers(line, 3) == [1, 2, 3]
    async with line.source() as source:
        assert await source.receive(0) is None


async def test_a_reader_that_waits_gets_what_comes(line: Line) -> None:
    """Without opening the queue again."""
    async with line.source() as source:
        assert await source.receive(0) is None
        await send(line, encode_report(report(7)))
        received = await source.receive(PATIENCE)

        assert received
        assert [entry.event_id for entry in received.report.entries] == ["evt_7"]
        await source.acknowledge(received)


async def test_what_is_not_acknowledged_is_received_again(line: Line) -> None:
    """By the next reader: the one before may have died."""
    await send(line, *(encode_report(report(number)) for number in (1, 2)))
    async with line.source() as source:
        first = await source.receive(PATIENCE)
        second = await source.receive(PATIENCE)
        assert first
        assert second
        await source.acknowledge(second)

    assert await numbers(line, 1) == [1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"entries":[[1,"no kind"]]}',
        b'{"entries":' + b"[" * 5000,
        b'{"entries":"' + b"x" * MAX_REPORT_SIZE + b'"}',
    ],
    ids=["empty", "no text", "a list", "no entry", "deep", "large"],
)
async def test_what_is_no_report_is_an_empty_one(line: Line, body: bytes) -> None:
    """It is acknowledged like others: it must not come again and again."""
    await send(line, body, encode_report(report(2)))

    assert await numbers(line, 2) == [2]


async def test_the_oldest_reports_go_when_there_are_too_many(line: Line) -> None:
    """With nobody to read them, the newest are kept."""
    surplus = 60
    bodies = [encode_report(report(number)) for number in range(1, MAX_REPORTS + surplus + 1)]
    await send(line, *bodies)
    async with line.source() as source:
        found: list[int] = []
        while received := await source.receive(1 if found else PATIENCE):
            found += [entry.id for entry in received.report.entries]
            if (
                line.clock is None
            ):  # RabbitMQ delivers no more before it is acknowledged; others would take a commit each
                await source.acknowledge(received)
            if found[-1] == len(bodies):
                break

    assert found == list(range(surplus + 1, len(bodies) + 1))


async def test_the_oldest_reports_go_when_they_are_too_large(line: Line) -> None:
    """Their bytes are bounded, whatever their number is."""
    size = 512 * 1024
    count = MAX_WAITING_SIZE // size + 10
    await send(line, *(encode_report(report(number, "x" * size)) for number in range(1, count + 1)))
    async with line.source() as source:
        received = await source.receive(PATIENCE)

    assert received
    assert received.report.entries[0].id >= 10


async def test_old_reports_go(line: Line) -> None:
    """After an hour without a reader."""
    if line.clock is None:
        pytest.skip("RabbitMQ has its own clock; the test of its queue's arguments is below")
    await send(line, encode_report(report(1)))
    line.clock.now += MAX_REPORT_AGE - 1
    await send(line, encode_report(report(2)))
    line.clock.now += 2

    assert await numbers(line, 1) == [2]


async def test_the_queue_at_rabbitmq_is_bounded_in_time(
    rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """By an argument of the queue, which is durable and classic: RabbitMQ 4.3 refuses transient ones."""
    async with open_rabbitmq_reports(BrokerNodes(rabbitmq_url), "webhooks"):
        pass
    vhost = rabbitmq_url.rpartition("/")[2]
    (line,) = rabbitmq_server.ctl(
        "list_queues", "--vhost", vhost, "--no-table-headers", "name", "durable", "type", "arguments"
    ).splitlines()

    assert line.startswith("webhooks.reports\ttrue\tclassic")
    assert '{"x-message-ttl",3600000}' in line


async def test_a_user_without_configure_rights_reports_where_all_is_declared(
    rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """And is told what is missing where it is not."""
    head, _, vhost = rabbitmq_url.rpartition("/")
    rabbitmq_server.ctl("add_user", f"poor-{vhost}", "secret")
    rabbitmq_server.ctl("set_permissions", "-p", vhost, f"poor-{vhost}", "^$", ".*", ".*")
    poor_url = f"{head.replace('guest:guest', f'poor-{vhost}:secret')}/{vhost}"
    carrier = RabbitCarrier(BrokerNodes(poor_url), "webhooks")
    with pytest.raises(
        OSError, match=r"'webhooks\.reports' is not there, and user 'poor-.*' may not declare it"
    ):
        await carrier.send(encode_report(report(1)))
    async with open_rabbitmq_reports(BrokerNodes(rabbitmq_url), "webhooks"):
        pass

    await carrier.send(encode_report(report(2)))
    await carrier.stop()

    line = Line(lambda: carrier, lambda: open_rabbitmq_reports(BrokerNodes(poor_url), "webhooks"))
    assert await numbers(line, 1) == [2]


async def test_a_reader_fails_when_the_broker_is_lost(rabbitmq_url: str) -> None:
    """Or when the queue is deleted, so that it opens the queue again."""
    async with open_rabbitmq_reports(BrokerNodes(rabbitmq_url), "webhooks") as source:
        async with await aio_pika.connect(rabbitmq_url) as connection:
            await (await connection.channel()).queue_delete("webhooks.reports")

        with pytest.raises(OSError, match="deleted"):
            await source.receive(PATIENCE)
