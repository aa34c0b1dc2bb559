"""Workers that are killed at any moment: no event is lost, and only what was under way may be repeated."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from support.agents import Place
from support.gateway_process import GatewayProcess, Program, Secrets
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.waiting import wait_until, wait_until_async

EVENTS = int(os.environ.get("WEBHOOK_WORKER_EVENTS", "2000"))
"""For the long version, 20000."""

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
    """What a handler wrote down."""

    what: str
    event_id: str
    subject: str
    process: str


def notes(folder: Path) -> list[Note]:
    """All of them, in the order in which things happened."""
    book = folder / "book"
    return [Note(*line.split()) for line in book.read_text("utf-8").splitlines()] if book.exists() else []


def count(notes: list[Note], what: str) -> Counter[str]:
    """How often that happened to each event."""
    return Counter(note.event_id for note in notes if note.what == what)


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
    """The condition, of the type that it is waited for."""
    return condition


def faults_of(
    place: Place, request: pytest.FixtureRequest, workers: list[Program]
) -> list[Callable[[], None]]:
    """What happens to the servers besides, if there are any: RabbitMQ dies, Redis is silent until it is missed."""
    if not place.rabbitmq_url:
        return []
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    redis: RedisServer = request.getfixturevalue("redis_server")

    def restart() -> None:
        rabbitmq.kill()
        rabbitmq.start()

    def hang() -> None:
        redis.suspend()
        wait_until(lambda: any("guard unavailable" in worker.stdout for worker in workers))
        redis.resume()

    return [restart, hang]


@pytest.mark.timeout(PATIENCE * 3)
@pytest.mark.parametrize("order", [None, "subject"])
async def test_killed_workers_lose_nothing_and_repeat_only_what_was_under_way(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest, order: str | None
) -> None:
    """Every event is done or dead. A step is repeated by no failure, and at most where its process was killed."""
    settings = GatewayProcess(
        tmp_path,
        Secrets(),
        redis_url=place.redis_url,
        rabbitmq_url=place.rabbitmq_url,
        overrides={"server": {"deadline": "1s"}, "dedupe": {"lease": "2s"}},
    )
    (tmp_path / "agent.py").write_text(f"ORDER = {order!r}\n{_AGENT}", "utf-8")
    command = "worker", "agent:worker", "--config", str(settings.config)
    assert settings.run("worker", "agent:worker", "--check").returncode == 0
    ids = [f"evt_{number:06}" for number in range(EVENTS)]
    await place.publish(*ids, subject=lambda event_id: str(int(event_id[4:]) % SUBJECTS))
    dead: Counter[str] = Counter()

    async def is_complete() -> bool:
        dead.update(orjson.loads(message.body)["id"] for message in await place.dead("agent"))
        return set(ids) <= count(notes(tmp_path), "done").keys() | dead.keys()

    async def wait_for(progress: int) -> None:
        await wait_until_async(
            lambda: len(count(notes(tmp_path), "paid")) >= progress, PATIENCE, f"{progress} events were begun"
        )

    with ExitStack() as stack:
        workers = [
            stack.enter_context(Program(tmp_path, *command, extra=settings.variables)) for _ in range(WORKERS)
        ]
        faults = faults_of(place, request, workers)
        for number in range(KILLS):
            await wait_for(EVENTS * (number + 1) // (KILLS + 2))
            victim = random.choice(workers)
            victim.kill()
            for fault in faults[number : number + 1]:
                fault()
            victim.start()
        await wait_until_async(awaitable(is_complete), PATIENCE, "every event is done or dead")
        assert [worker.stop() for worker in workers] == [0] * WORKERS

    written = notes(tmp_path)
    paid, done = count(written, "paid"), count(written, "done")
    assert done.keys() | dead.keys() == set(ids)
    assert dead.keys() - done.keys()
    assert paid.keys() == set(ids)
    for counts in (paid, done, dead):
        assert sum(times - 1 for times in counts.values()) <= (KILLS + len(faults) * WORKERS) * CONCURRENCY
    if order:
        check_order(written)
