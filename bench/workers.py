"""The consumers at work: they take turns, each on a queue of its own that is filled before it starts."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from redis import Redis

from bench.broker import Queue
from bench.consumers import IDS, MARKS
from bench.contenders import ROOT, gateway_command
from bench.envelopes import messages
from bench.handling import CONSUMERS, Consumer, Handling, Turn
from gateway.events.message import Message
from gateway.observability.logs import silence_logs
from gateway.transport.embedded import FILE_NAME
from support.agents import EXCHANGE, Place
from support.process import Child
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.vhosts import VhostPool
from support.waiting import wait_until

_PATIENCE = 300.0
_AT_ONCE = 500  # events that wait for their confirm


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a consumer works; its queue is called as the provider of its events is."""

    consumer: Consumer
    key: str
    folder: Path
    rabbitmq_url: str
    redis_url: str

    @property
    def place(self) -> Place:
        """Where its events are published to."""
        if self.consumer.is_embedded:
            return Place(self.folder / "data")
        return Place(self.folder / "data", self.rabbitmq_url, self.redis_url)

    def declare(self) -> None:
        """Make its queue."""
        # Nothing else of the repository: the installed wheel is what users get, the source tree is not.
        self.folder.mkdir()
        (self.folder / "bench").symlink_to(ROOT / "bench")
        if not self.consumer.guard:
            Queue(self.rabbitmq_url, self.key).bind(EXCHANGE, f"{self.key}.#")
            return
        place = self.place
        configuration = {
            "redis": {"url": place.redis_url or "embedded"},
            "rabbitmq": {"url": place.rabbitmq_url or "embedded", "exchange": EXCHANGE},
            "data_dir": str(place.folder),
            "providers": {self.key: {"adapter": "stripe", "secrets": ["${STRIPE_WEBHOOK_SECRET}"]}},
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(configuration), "utf-8")
        subprocess.run(
            [*self._command, "--check"],
            env=self._environment(0, 0, {}),
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self, first: int, last: int, beside: dict[str, int]) -> Child:
        """Start the consumer, which reads its clocks, and those of ``beside``, at the ``first`` event and the ``last``."""
        for name in (IDS, MARKS):
            (self.folder / name).unlink(missing_ok=True)
        environment = self._environment(first, last, beside)
        log = self.folder / "output.log"
        return Child(self._command, env=environment, cwd=self.folder, log=log)

    def read(self, name: str) -> Any:
        """What the consumer has written."""
        return json.loads((self.folder / name).read_text("utf-8"))

    def left(self) -> int:
        """How many messages are in its queue."""
        if not self.consumer.is_embedded:
            return Queue(self.rabbitmq_url, self.key).drain(0)
        with closing(sqlite3.connect(self.place.folder / FILE_NAME)) as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM messages").fetchone()
        return int(count)

    @property
    def _command(self) -> list[str]:
        module, *words = self.consumer.module
        if self.consumer.guard:
            config = str(self.folder / "config.yaml")
            return [gateway_command(), "worker", f"bench.consumers.{module}:worker", "--config", config]
        return [sys.executable, "-m", f"bench.consumers.{module}", *words]

    def _environment(self, first: int, last: int, beside: dict[str, int]) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return inherited | {
            "QUEUE": self.key,
            "PREFETCH": str(self.consumer.prefetch),
            "GUARD": self.consumer.guard,
            "RABBITMQ_URL": self.rabbitmq_url,
            "NOTES": str(self.folder),
            "NOTES_FIRST": str(first),
            "NOTES_LAST": str(last),
            "NOTES_BESIDE": json.dumps(beside),
        }


class Workers:
    """Measures all consumers.

    Args:
        folder: for what they write.
        redis: the Redis of the guard.
        rabbitmq: where the queues are, in a virtual host of their own.
        say: tells of progress.
    """

    def __init__(
        self, folder: Path, redis: RedisServer, rabbitmq: RabbitMQServer, say: Callable[[str], None]
    ) -> None:
        self._redis = Redis.from_url(redis.url)
        self._beside = {"Redis": redis.pid, "RabbitMQ": rabbitmq.pid}
        self._say = say
        url = rabbitmq.vhost_url(VhostPool(rabbitmq).take())
        self._stands = [
            _Stand(consumer, key := f"stripe{number}", folder / key, url, redis.url)
            for number, consumer in enumerate(CONSUMERS)
        ]

    def run(self, rounds: int, events: int) -> list[Handling]:
        """What handling ``events`` events costs each of them."""
        silence_logs()  # of the publisher
        asyncio.run(_fill(self._stands[0].place, []))  # which declares the exchange
        for stand in self._stands:
            stand.declare()
        records = [Handling(stand.consumer) for stand in self._stands]
        pairs = list(zip(self._stands, records, strict=True))
        for number in range(rounds):
            turn = number % len(pairs)
            for stand, record in pairs[turn:] + pairs[:turn]:
                record.turns.append(self._turn(stand, record, events))
                self._say(
                    f"round {number + 1} of {rounds}: {stand.consumer.name:22} {record.turns[-1].rate:8,.0f} events/s"
                    f" {record.turns[-1].cpu:6.1f} µs CPU"
                )
        for stand, record in pairs:
            record.wrong += stand.left()
        return records

    def _turn(self, stand: _Stand, record: Handling, events: int) -> Turn:
        first = max(events // 10, 1)
        sent = list(messages(stand.key, first + events))
        asyncio.run(_fill(stand.place, sent))
        commands, reads = self._asked_of_redis()
        child = stand.start(first, len(sent), self._beside)
        try:

            def has_finished() -> bool:
                child.expect_running()
                return (stand.folder / MARKS).exists()

            wait_until(has_finished, _PATIENCE, f"{stand.consumer.name} has handled {len(sent):,} events")
        finally:
            child.stop()
        commands_after, reads_after = self._asked_of_redis()
        before, after = stand.read(MARKS)
        spent = {name: (after[name] - before[name]) * 1e6 / events for name in after}
        record.wrong += _wrong([message.message_id for message in sent], stand.read(IDS))
        return Turn(
            rate=events / (after["at"] - before["at"]),
            cpu=spent["consumer"],
            rabbitmq=spent["RabbitMQ"],
            redis=spent["Redis"],
            commands=(commands_after - commands) / len(sent),
            round_trips=(reads_after - reads) / len(sent),
        )

    def _asked_of_redis(self) -> tuple[int, int]:
        """How many commands it has carried out, and how often it has read from a connection."""
        found = self._redis.info("stats")
        return found["total_commands_processed"], found["total_reads_processed"]


def _wrong(sent: list[str], handled: list[str]) -> int:
    """How many events were handled never or more than once."""
    counts = Counter(handled)
    return sum(counts[event_id] != 1 for event_id in {*sent, *counts})


async def _fill(place: Place, sent: list[Message]) -> None:
    async with place.publishing() as publisher:
        for start in range(0, len(sent), _AT_ONCE):
            await asyncio.gather(*map(publisher.publish, sent[start : start + _AT_ONCE]))
