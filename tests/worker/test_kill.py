"""Workers that are killed at any moment: no event is lost, and only what was under way may be repeated."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
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

_AGENT = f"""
import asyncio, os, random
from gateway.worker import Event, Worker

worker = Worker(
    "agent", ["stripe.#"], attempts=3, retry_from=0.1, retry_most=0.8, concurrency={CONCURRENCY}
)
book = os.open("book", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@worker.on("stripe.invoice.*")
async def handle(event: Event) -> None:
    async with event.once("pay") as first:
        if first:
            os.write(book, f"paid {{event.id}}\\n".encode())
            await asyncio.sleep(random.random() / 100)
    if random.random() < 0.2:
        raise RuntimeError("one of five")
    os.write(book, f"done {{event.id}}\\n".encode())
"""


def written(folder: Path) -> dict[str, Counter[str]]:
    """How often each event was paid, and how often it was done."""
    book: dict[str, Counter[str]] = {"paid": Counter(), "done": Counter()}
    if (folder / "book").exists():
        for line in (folder / "book").read_text("utf-8").splitlines():
            what, _, event_id = line.partition(" ")
            book[what][event_id] += 1
    return book


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
async def test_killed_workers_lose_nothing_and_repeat_only_what_was_under_way(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Every event is done or dead. A step is repeated by no failure, and at most where its process was killed."""
    settings = GatewayProcess(
        tmp_path,
        Secrets(),
        redis_url=place.redis_url,
        rabbitmq_url=place.rabbitmq_url,
        overrides={"server": {"deadline": "1s"}, "dedupe": {"lease": "2s"}},
    )
    (tmp_path / "agent.py").write_text(_AGENT, "utf-8")
    command = "worker", "agent:worker", "--config", str(settings.config)
    assert settings.run("worker", "agent:worker", "--check").returncode == 0
    ids = {f"evt_{number}" for number in range(EVENTS)}
    await place.publish(*sorted(ids))
    dead: Counter[str] = Counter()

    async def is_complete() -> bool:
        dead.update(orjson.loads(message.body)["id"] for message in await place.dead("agent"))
        return ids <= written(tmp_path)["done"].keys() | dead.keys()

    async def wait_for(progress: int) -> None:
        await wait_until_async(
            lambda: len(written(tmp_path)["paid"]) >= progress, PATIENCE, f"{progress} events were begun"
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

    book = written(tmp_path)
    assert book["done"].keys() | dead.keys() == ids
    assert dead.keys() - book["done"].keys()
    assert book["paid"].keys() == ids
    for counts in (book["paid"], book["done"], dead):
        assert sum(count - 1 for count in counts.values()) <= (KILLS + len(faults) * WORKERS) * CONCURRENCY
