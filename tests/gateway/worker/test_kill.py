"""Workers that are killed at any moment: no event is lost, and only running steps may be repeated."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import redis

from support.agents import Place
from support.fault_proxy import FaultProxy
from support.gateway_process import GatewayProcess, Program, Secrets
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.waiting import wait_until, wait_until_async

EVENTS = int(os.environ.get("WEBHOOK_WORKER_EVENTS", "2000"))
"""Set it to 20000 for the long version."""

WORKERS = 2
CONCURRENCY = 10
KILLS = 6
PATIENCE = 60 + EVENTS / 20

SUBJECTS = 100

_AGENT = f"""
import asyncio, os, random
from gateway.worker import Event, Worker

worker = Worker(
    "agent", ["stripe.#"], attempts=3, retry_from=0.1, retry_most=0.8, concurrency={CONCURRENCY}, ordered_by=ORDER
)
book = os.open("book", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(what, event):
    os.write(book, f"{{what}} {{event.id}} {{event.subject}} {{os.getpid()}}\\n".encode())

@worker.on("stripe.invoice.*")
async def handle(event: Event) -> None:
    note("begun", event)
    async with event.once("pay") as first:
        if first:
            note("paid", event)
            await asyncio.sleep(random.random() / 100)
    failed = random.random() < 0.2
    note("failed" if failed else "done", event)
    if failed:
        raise RuntimeError("one of five")
"""


@dataclass(frozen=True)
class Note:
    """One note of a handler."""

    what: str
    event_id: str
    subject: str
    process: str


class Book:
    """The notes of all handlers, in the order in which things happened.

    Attributes:
        notes: The notes that were read so far.
        counts: How often each thing happened to each event.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.notes: list[Note] = []
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def read(self) -> Book:
        """Read the new notes; reading all of them again would slow the workers down."""
        if self._path.exists():
            with self._path.open("rb") as book:
                book.seek(self._read)
                lines = book.read().splitlines(keepends=True)
            for line in lines:
                if line.endswith(b"\n"):
                    self._read += len(line)
                    note = Note(*line.decode().split())
                    self.notes.append(note)
                    self.counts[note.what][note.event_id] += 1
        return self


def check_order(notes: list[Note]) -> None:
    """The events of a subject were done as they came, and none began while another was being handled.

    A process that was killed leaves an event without an end; what follows in another process is no rival of it.
    """
    done: defaultdict[str, list[str]] = defaultdict(list)
    under_way: dict[str, Note] = {}
    for note in notes:
        before = under_way.get(note.subject)
        if note.what == "begun":
            assert before is None or before.process != note.process, (before, note)
            if before:
                assert not any(
                    later.process == before.process
                    and later.event_id == before.event_id
                    and later.what != "begun"
                    for later in notes[notes.index(note) :]
                ), (before, note)
            under_way[note.subject] = note
        elif note.what in {"done", "failed"}:
            del under_way[note.subject]
        if note.what == "done" and note.event_id not in done[note.subject]:
            done[note.subject].append(note.event_id)
    assert all(ids == sorted(ids) for ids in done.values())


def awaitable(condition: Callable[[], Awaitable[bool]]) -> Callable[[], bool | Awaitable[bool]]:
    """Return the condition with the type that waiting needs."""
    return condition


class Crew:
    """Processes that run the agent, and what they were given.

    Args:
        folder: where they run.
        place: where the events are published.
        rabbitmq_url: how the processes reach that.
        order: what their events are ordered by.
        events: how many there are.
    """

    def __init__(
        self, folder: Path, place: Place, rabbitmq_url: str, order: str | None = None, events: int = EVENTS
    ) -> None:
        self._folder = folder
        self._place = place
        self._settings = GatewayProcess(
            folder,
            Secrets(),
            redis_url=place.redis_url,
            rabbitmq_url=rabbitmq_url,
            overrides={"server": {"deadline": "1s"}, "dedupe": {"lease": "2s"}},
        )
        (folder / "agent.py").write_text(f"ORDER = {order!r}\n{_AGENT}", "utf-8")
        self.ids = [f"evt_{number:06}" for number in range(events)]
        self.book = Book(folder / "book")
        self.dead: Counter[str] = Counter()
        self.workers: list[Program] = []

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """All events are published and the processes run; the block ends when all is done, and they end well."""
        assert self._settings.run("worker", "agent:worker", "--check").returncode == 0
        await self._place.publish(*self.ids, subject=lambda event_id: str(int(event_id[4:]) % SUBJECTS))
        command = "worker", "agent:worker", "--config", str(self._settings.config)
        with ExitStack() as stack:
            for _ in range(WORKERS):
                program = Program(self._folder, *command, extra=self._settings.variables)
                self.workers.append(stack.enter_context(program))
            yield
            await wait_until_async(awaitable(self._is_complete), PATIENCE, "every event is done or dead")
            assert [worker.stop() for worker in self.workers] == [0] * WORKERS

    async def reach(self, progress: int) -> None:
        """Wait until ``progress`` events have begun."""
        await wait_until_async(
            lambda: len(self.book.read().counts["paid"]) >= progress, PATIENCE, f"{progress} were begun"
        )

    def start_again(self, worker: Program) -> None:
        """Restart a killed process, which ends gracefully from then on."""
        starts = worker.stdout.count("worker started")
        worker.start()
        wait_until(lambda: worker.stdout.count("worker started") > starts)

    async def _is_complete(self) -> bool:
        found = await self._place.dead("agent")
        self.dead.update(orjson.loads(message.body)["id"] for message in found)
        return set(self.ids) <= self.book.read().counts["done"].keys() | self.dead.keys()


@pytest.mark.timeout(PATIENCE * 3)
@pytest.mark.parametrize("order", [None, "subject"])
async def test_killed_workers_lose_nothing_and_repeat_only_what_was_under_way(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest, order: str | None
) -> None:
    """Every event is done or dead. A step is repeated by no failure, and at most where its process was killed.

    Where there are servers, RabbitMQ dies meanwhile, Redis is silent until it is missed, and the network is cut.
    """
    faults: list[Callable[[], None]] = []
    with ExitStack() as stack:
        url = place.rabbitmq_url
        if url:
            rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
            redis_server: RedisServer = request.getfixturevalue("redis_server")
            proxy = stack.enter_context(FaultProxy(url))
            url = proxy.url_of(url)

            def restart() -> None:
                rabbitmq.kill()
                rabbitmq.start()

            def hang() -> None:
                redis_server.suspend()
                wait_until(lambda: any("guard unavailable" in worker.stdout for worker in crew.workers))
                redis_server.resume()

            def cut() -> None:
                proxy.refuse()
                proxy.heal()

            faults += restart, hang, cut
        crew = Crew(tmp_path, place, url, order)
        async with crew.at_work():
            for number in range(KILLS):
                await crew.reach(EVENTS * (number + 1) // (KILLS + 2))
                victim = random.choice(crew.workers)
                victim.kill()
                for fault in faults[number : number + 1]:
                    fault()
                crew.start_again(victim)

    counts = crew.book.read().counts
    paid, done = counts["paid"], counts["done"]
    assert crew.dead.keys() - done.keys()
    assert paid.keys() == set(crew.ids)
    for each in (paid, done, crew.dead):
        assert sum(times - 1 for times in each.values()) <= (KILLS + len(faults) * WORKERS) * CONCURRENCY
    if order:
        check_order(crew.book.read().notes)


async def test_a_flush_of_redis_may_repeat_steps_but_loses_nothing(
    rabbitmq_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Running handlers continue, and no other process begins their events."""
    crew = Crew(tmp_path, Place(tmp_path, rabbitmq_url, redis_url), rabbitmq_url, events=500)
    with redis.Redis.from_url(redis_url) as client:
        async with crew.at_work():
            for progress in (100, 200, 300):
                await crew.reach(progress)
                client.flushall()

    counts = crew.book.read().counts
    assert counts["paid"].keys() == set(crew.ids)
    assert counts["begun"] == counts["done"] + counts["failed"]
    assert all(worker.stdout.count("lease lost") == 0 for worker in crew.workers)
