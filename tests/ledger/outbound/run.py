"""One run: an agent, receivers, a way out that is killed, servers that fail, and the balance of it all."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg

from gateway.outbound.models import Attempt, DeliveryState, Trigger
from gateway.outbound.store import DeliveryFilter, Store
from ledger.outbound.balance import Balance
from ledger.outbound.producer import Producer
from ledger.outbound.targets import TARGETS, Target
from support.postgresql_server import PostgreSQLServer
from support.rabbitmq_server import RabbitMQServer
from support.threads import running
from support.waiting import wait_until
from support.way_out_program import WayOutProgram, WayOutSite

TIMEOUT = 2.0
"""Seconds of an attempt."""

_PAUSE = 0.02
"""Seconds between two events."""

_LIFE = (0.0, 1.0)
"""Seconds between the first request of a process and its kill."""

_TIME_TO_END = 300.0
"""Seconds for the last retries: the second of an event is due after half a minute."""


@dataclass(frozen=True)
class Plan:
    """The least amounts of a run.

    Attributes:
        kills: Kills of the way out.
        faults: Faults of PostgreSQL and RabbitMQ.
        seed: Of all choices.
    """

    kills: int
    faults: int
    seed: int


@dataclass
class Diary:
    """What was done to the way out and its servers: when it was killed, in Unix seconds, and the faults by their names."""

    kills: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)


def run(
    plan: Plan,
    folder: Path,
    rabbitmq: RabbitMQServer,
    rabbitmq_url: str,
    postgresql: PostgreSQLServer,
    postgres_url: str,
    tell: Callable[[str], None],
) -> Balance:
    """Carry out the plan in an empty folder, and report progress to ``tell``."""
    diary, began = Diary(), time.monotonic()

    def report(text: str) -> None:
        tell(f"{time.monotonic() - began:5.0f} s  {text}")

    with ExitStack() as stack:
        targets = {name: stack.enter_context(kind(f"{plan.seed} {name}")) for name, kind in TARGETS.items()}
        site = WayOutSite(
            folder,
            targets,
            {name: {"timeout": f"{TIMEOUT:g}s", **each.settings} for name, each in targets.items()},
            rabbitmq_url=rabbitmq_url,
            postgres_url=postgres_url,
        )
        site.declare()
        producer = Producer(rabbitmq_url, _PAUSE)
        program = stack.enter_context(site.program())
        producer.start()
        stack.callback(producer.stop)
        with _failing_servers(plan, diary, rabbitmq, postgresql):
            _kill(plan, program, targets.values(), diary, report)
            wait_until(lambda: diary.faults.total() >= plan.faults, 600.0, "there were as many faults")
        producer.stop()
        report(f"{len(diary.kills)} kills; {producer.confirmed:,} events; no more faults")
        _settle(site, producer)
        report("nothing waits any more")
        program.stop()
        deliveries = site.deliveries()
        attempts = _attempts(postgres_url)
        health = site.ask(lambda store: store.endpoints())
        return Balance(
            plan.seed, targets, producer, diary, deliveries, attempts, health, program.log, TIMEOUT
        )


def _kill(
    plan: Plan,
    program: WayOutProgram,
    targets: Collection[Target],
    diary: Diary,
    tell: Callable[[str], None],
) -> None:
    dice = random.Random(f"{plan.seed} kills")
    told = time.monotonic()

    def arrived() -> int:
        return sum(len(each.log) for each in targets)

    def has_grown(before: int) -> bool:
        return arrived() > before

    while len(diary.kills) < plan.kills:
        before = arrived()
        wait_until(partial(has_grown, before), message="it has sent something")
        time.sleep(dice.uniform(*_LIFE))
        program.kill()
        diary.kills.append(time.time())
        program.start()
        if time.monotonic() - told > 20:
            told = time.monotonic()
            tell(f"{len(diary.kills)} kills, {diary.faults.total()} faults")


@contextmanager
def _failing_servers(
    plan: Plan, diary: Diary, rabbitmq: RabbitMQServer, postgresql: PostgreSQLServer
) -> Iterator[None]:
    """Let the servers fail one after another, as often as the plan says, and put them in order at the end."""
    dice = random.Random(f"{plan.seed} faults")
    is_over = threading.Event()
    failures: list[BaseException] = []

    def restart_postgresql() -> None:
        postgresql.kill()
        is_over.wait(dice.uniform(0, 1.5))
        postgresql.start()

    def freeze_postgresql() -> None:
        postgresql.suspend()
        is_over.wait(dice.uniform(0, 3.0))
        postgresql.resume()

    def restart_rabbitmq() -> None:
        rabbitmq.kill()
        rabbitmq.start()

    kinds = {
        "PostgreSQL killed": (restart_postgresql, 4),
        "PostgreSQL frozen": (freeze_postgresql, 4),
        "RabbitMQ killed": (restart_rabbitmq, 1),
    }

    def harm() -> None:
        try:
            while diary.faults.total() < plan.faults and not is_over.wait(dice.uniform(1.0, 6.0)):
                (name,) = dice.choices(list(kinds), [weight for _, weight in kinds.values()])
                kinds[name][0]()
                diary.faults[name] += 1
        except BaseException as error:  # noqa: BLE001 -- raised again at the end
            failures.append(error)

    try:
        with running(threading.Thread(target=harm, name="failing servers"), is_over):
            yield
    finally:
        postgresql.ensure_running()
        rabbitmq.ensure_running()
    if failures:
        raise failures[0]


def _settle(site: WayOutSite, producer: Producer) -> None:
    """Wait until everything was accepted, and nothing is pending but what nobody may send."""

    async def is_done(store: Store) -> bool:
        accepted = await store.count(DeliveryFilter(endpoint="ep_steady"))
        pending = await store.count(DeliveryFilter(states=(DeliveryState.PENDING,)))
        unsent = await store.count(DeliveryFilter(endpoint="ep_gone", states=(DeliveryState.PENDING,)))
        return accepted >= producer.confirmed and pending == unsent

    with suppress(TimeoutError):  # the balance says what is missing
        wait_until(lambda: site.ask(is_done), _TIME_TO_END, "nothing waits any more", interval=1.0)


def _attempts(postgres_url: str) -> dict[str, list[Attempt]]:
    """Return all attempts by their deliveries, in one question instead of one for each delivery."""
    found: defaultdict[str, list[Attempt]] = defaultdict(list)
    with psycopg.connect(postgres_url) as connection, connection.cursor("attempts") as cursor:
        cursor.execute(
            "SELECT id, delivery, endpoint, message, number, began_at, outcome, ms, retry_after FROM outbound_attempts"
        )
        for id_, delivery, endpoint, message, number, at, outcome, ms, retry_after in cursor:
            found[delivery].append(
                Attempt(
                    id=id_,
                    delivery=delivery,
                    endpoint=endpoint,
                    message=message,
                    trigger=Trigger.AUTO,
                    number=number,
                    at=at,
                    outcome=outcome,
                    ms=ms,
                    retry_after=retry_after,
                )
            )
    return found
