"""What workers tell the journal: every attempt of an event, and how each process is."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.journal.entry import MAX_DETAIL, MAX_TEXT, Entry
from gateway.journal.memory import MemoryJournal
from gateway.journal.query import Query
from gateway.journal.reports import Heartbeat
from gateway.journal.reports.receiver import drain_reports
from gateway.journal.workers.memory import MemoryWorkers
from gateway.testing import MemoryWorker
from gateway.worker import Dead, Event, Retry, Worker
from gateway.worker.event import MAX_OUTCOME
from support.agents import Place, envelope, message_of
from support.gateway_process import GatewayProcess, Program, Secrets
from support.rabbitmq_server import RabbitMQServer
from support.waiting import PATIENCE, wait_until, wait_until_async


def short(**options: object) -> Worker:
    """Return a worker with delays of less than a second."""
    settings = {"attempts": 4, "retry_from": 0.1, "retry_most": 0.1, **options}
    return Worker("agent", ["stripe.#"], **settings)  # type: ignore[arg-type]


class Desk:
    """A journal, and the table of workers, filled from the reports at a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.journal = MemoryJournal()
        self.workers = MemoryWorkers()

    async def drain(self) -> None:
        """Read the reports."""
        with suppress(OSError):  # the broker of a test may be away
            await drain_reports(self._place.reports_source, self.journal, self.workers)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Read reports until the condition holds."""

        async def holds() -> bool:
            await self.drain()
            return condition()

        waiting: Callable[[], bool | Awaitable[bool]] = holds
        await wait_until_async(waiting, PATIENCE)

    async def timeline(self, event_id: str, length: int) -> list[Entry]:
        """Return the entries of an event, once there are ``length``."""
        await self.until(lambda: len(self.journal.timeline(event_id)) >= length)
        return self.journal.timeline(event_id)

    async def alive(self, condition: Callable[[list[Heartbeat]], bool]) -> list[Heartbeat]:
        """Return the workers that are alive, once they are as they should be."""
        await self.until(lambda: condition(self.workers.alive(time.time())))
        return self.workers.alive(time.time())


async def test_an_event_that_fails_to_the_end_has_its_whole_timeline(place: Place) -> None:
    """Each attempt with its number, the word for its failure and the place, and what follows."""
    worker = short()
    desk = Desk(place)
    failures: list[Exception] = [ValueError("secret"), Retry(0.1), TimeoutError(), KeyError("secret")]

    @worker.on("stripe.invoice.*")
    async def charge(event: Event) -> None:
        raise failures[event.attempts - 1]

    async with place.running(worker, is_reporting=True) as runner:
        await place.publish(
            "evt_1",
            subject=lambda _: "in_1",
            account=lambda _: "acct_1",
            summary=lambda _: "invoice in_1 paid",
            traceparent=lambda _: f"00-{'ab' * 16}-{'cd' * 8}-01",
        )
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)
    entries = await desk.timeline("evt_1", 4)

    assert [(each.outcome, each.attempt, each.reason) for each in entries] == [
        ("retried", 1, "ValueError"),
        ("retried", 2, "Retry"),
        ("retried", 3, "timeout"),
        ("dead", 4, "KeyError"),
    ]
    first = entries[0]
    assert (first.kind, first.provider, first.type, first.queue) == (
        "handled",
        "stripe",
        "invoice.paid",
        "agent",
    )
    assert (first.subject, first.account, first.summary, first.trace) == (
        "in_1",
        "acct_1",
        "invoice in_1 paid",
        "ab" * 16,
    )
    assert first.gateway == socket.gethostname()
    assert first.ms is not None
    assert time.time() - PATIENCE < first.at <= time.time()
    assert "test_reporting.py" in first.detail
    assert "in charge; retry in 0.1 s" in first.detail
    assert "secret" not in repr(entries)


async def test_an_attempt_has_the_outcome_that_its_handler_named(place: Place) -> None:
    """In the timeline and in the log, from a coroutine or a thread, whether it then fails or not."""
    worker = short(attempts=1)
    desk = Desk(place)

    @worker.on("stripe.invoice.*")
    async def coroutine(event: Event) -> None:
        event.outcome("looked at")
        event.outcome("refunded\n42   eur " + "!" * 100)

    @worker.on("stripe.charge.*")
    def thread(event: Event) -> None:
        event.outcome("half done")
        raise Dead("the customer is unknown")

    with capture_logs() as logs:
        async with place.running(worker, is_reporting=True) as runner:
            await place.publish("evt_1")
            await place.publish("evt_2", eventtype="charge.failed")
            await place.publish("evt_3", eventtype="payout.paid")
            await wait_until_async(lambda: runner.counts.total() == 3, PATIENCE)

    (handled,), (dead,) = await desk.timeline("evt_1", 1), await desk.timeline("evt_2", 1)
    (unhandled,) = await desk.timeline("evt_3", 1)
    assert (handled.outcome, handled.detail) == ("handled", ("refunded 42 eur " + "!" * 100)[:MAX_OUTCOME])
    assert (dead.outcome, dead.reason, dead.detail) == ("dead", "Dead", "half done; the customer is unknown")
    assert (unhandled.outcome, unhandled.reason, unhandled.detail) == ("unhandled", "", "")
    results = {each["id"]: each.get("result") for each in logs if each["event"] == "delivery"}
    assert results == {"evt_1": handled.detail, "evt_2": "half done", "evt_3": None}


async def test_a_message_that_is_no_event_is_reported(place: Place) -> None:
    """By its routing key, for want of more."""
    worker = short()
    desk = Desk(place)

    @worker.on("#")
    async def handle(event: Event) -> None: ...

    async with place.running(worker, is_reporting=True) as runner:
        async with place.publishing() as publisher:
            await publisher.publish(message_of(b"nonsense"))
            await publisher.publish(message_of(envelope("e" * 300, subject="ü" * 300)))
        await wait_until_async(lambda: runner.counts.total() == 2, PATIENCE)

    (long,) = await desk.timeline("e" * MAX_TEXT, 1)
    assert len(long.subject.encode()) <= MAX_TEXT
    (odd,) = desk.journal.find(Query(outcomes=("dead",))).entries
    assert (odd.outcome, odd.reason, odd.provider, odd.type) == ("dead", "Dead", "stripe", "invoice.paid")
    assert odd.detail == "not an event: not JSON"
    assert len(odd.detail) <= MAX_DETAIL


async def test_a_process_says_how_it_is(place: Place) -> None:
    """While it works; and that it has ended."""
    worker = short(concurrency=3)
    desk = Desk(place)
    released = asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        await released.wait()

    async with place.running(worker, is_reporting=True):
        (found,) = await desk.alive(bool)
        assert (found.queue, found.host, found.concurrency, found.prefetch) == (
            "agent",
            socket.gethostname(),
            3,
            3,
        )
        assert (found.in_progress, found.handled, found.paused, found.paused_until) == (0, 0, "", None)
        released.set()

    assert await desk.alive(lambda found: not found) == []


async def test_a_paused_process_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the number of failures, the last one and its place, and until when."""
    monkeypatch.setattr("gateway.journal.reports.sender.HEARTBEAT_INTERVAL", 0.1)
    place = Place(tmp_path / "var")
    desk = Desk(place)
    worker = short(pause_after=2, attempts=8)

    @worker.on("#")
    async def handle(event: Event) -> None:
        raise NameError("no such thing")

    async with place.running(worker, is_reporting=True):
        await place.publish("evt_1", "evt_2")
        (found,) = await desk.alive(lambda found: any(each.paused for each in found))

    assert found.paused.startswith("2 failures in a row, the last NameError at ")
    assert "test_reporting.py:" in found.paused
    assert found.paused_until is not None
    assert found.at < found.paused_until <= found.at + 10


async def test_events_are_handled_while_reports_cannot_be_sent(
    rabbitmq_server: RabbitMQServer, servers: Place
) -> None:
    """A user who may not declare the queue of reports works on; so does a worker after an outage of the broker."""
    vhost = servers.rabbitmq_url.rpartition("/")[2]
    rabbitmq_server.ctl(
        "set_permissions", "-p", vhost, "guest", r"^(webhooks|agent)(?!\.reports).*", ".*", ".*"
    )
    worker = short()
    handled: list[str] = []

    @worker.on("#")
    async def handle(event: Event) -> None:
        handled.append(event.id)

    async with servers.running(worker, is_reporting=True) as runner:
        await servers.publish("evt_1")
        await wait_until_async(lambda: runner.counts["handled"] == 1, PATIENCE)
        rabbitmq_server.ctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
        rabbitmq_server.kill()
        rabbitmq_server.start()
        await servers.publish("evt_2")
        await wait_until_async(lambda: "evt_2" in handled, PATIENCE)
        (entry, *_) = await Desk(servers).timeline("evt_2", 1)

    assert entry.outcome == "handled"


_AGENT = """
import os
from gateway.worker import Event, Worker

worker = Worker("agent", ["stripe.#"], concurrency=10)
book = os.open("book", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@worker.on("#")
async def handle(event: Event) -> None:
    os.write(book, f"{event.id}\\n".encode())
"""


async def test_a_killed_worker_has_reported_all_but_its_last_moment(tmp_path: Path) -> None:
    """At most a second of entries, or one batch, is missing. The events are not."""
    folder = tmp_path / "var"
    settings = GatewayProcess(tmp_path, Secrets())
    place = Place(folder)
    desk = Desk(place)
    (tmp_path / "agent.py").write_text(_AGENT, "utf-8")
    assert settings.run("worker", "agent:worker", "--check").returncode == 0
    command = "worker", "agent:worker", "--config", str(settings.config)
    first = [f"evt_{number}" for number in range(30)]

    def done() -> int:
        book = tmp_path / "book"
        return len(book.read_text().split()) if book.exists() else 0

    with Program(tmp_path, *command, extra=settings.variables) as program:
        await place.publish(*first)
        await desk.until(lambda: len(desk.journal.find(Query(), limit=1000).entries) >= len(first))
        await place.publish("evt_last")
        wait_until(lambda: done() > len(first), PATIENCE)
        program.kill()
    await desk.drain()

    entries = desk.journal.find(Query(), limit=1000).entries
    assert {entry.event_id for entry in entries} >= set(first)


async def test_the_test_kit_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of a handler neither waits for a broker nor starts a task for it."""
    worker = short()

    @worker.on("#")
    async def handle(event: Event) -> None:
        event.outcome("seen")

    async with MemoryWorker(worker) as memory:
        outcome = await memory.deliver(Event.parse(envelope("evt_1")))
        names = {task.get_name() for task in asyncio.all_tasks()}

    assert (outcome.name, outcome.result) == ("handled", "seen")
    assert not {name for name in names if "reports" in name or "heartbeats" in name}
