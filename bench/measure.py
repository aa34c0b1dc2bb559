"""One measurement after the other, the contenders taking turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import redis

from bench import meter
from bench.broker import Queue
from bench.contenders import ROOT, Contender, Surroundings
from bench.load import Result
from bench.packed_claims import end_leases

CONNECTIONS = 64
OPEN_LOOP_RATE = 500.0
OPEN_LOOP_RATES = (OPEN_LOOP_RATE, 1_500.0)
SIZES = (20_000, 100_000, 1_000_000)
"""Bytes of the larger events."""

CONSOLE = "console"
"""The name of the console among the neighbours: it reads the journal into its database."""

_SIZED_BYTES = 20_000_000
"""Bytes of all larger events of one size in a round, at most: the slowest is to take seconds, not minutes."""

# Requests are written before they are sent, 2.7 KB each: a long run goes in portions.
_PORTION = 20_000


@dataclass(frozen=True, slots=True)
class Burst:
    """What the generator saw, and what it cost the server."""

    result: Result
    cpu_seconds: float
    neighbours: dict[str, float]
    redis_bytes: int = 0

    @property
    def cpu_per_answer(self) -> float:
        """Microseconds of processor time for each answer."""
        return self._per_answer(self.cpu_seconds)

    def neighbour_cpu_per_answer(self, name: str) -> float:
        """Microseconds of processor time of Redis, RabbitMQ or the console for each answer."""
        return self._per_answer(self.neighbours[name])

    @property
    def rate_per_core(self) -> float:
        """Answers a second that one core could give, by the processor time of the server alone."""
        return 1e6 / self.cpu_per_answer

    @property
    def redis_bytes_per_claim(self) -> float:
        """Bytes that Redis keeps for each accepted event."""
        return self.redis_bytes / max(self.result.accepted, 1)

    def _per_answer(self, seconds: float) -> float:
        return seconds * 1e6 / sum(self.result.statuses.values())


@dataclass(slots=True)
class Record:
    """Everything measured about one contender."""

    contender: Contender
    rounds: list[Burst] = field(default_factory=list)
    alone: Burst | None = None
    scheduled: dict[float, Burst] = field(default_factory=dict)
    sized: dict[int, list[Burst]] = field(default_factory=dict)
    forged: list[Burst] = field(default_factory=list)
    idle_bytes: int = 0
    console_bytes: int = 0
    final_bytes: int = 0
    largest_bytes: int = 0
    accepted: int = 0
    stored: int = 0
    unexpected: Counter[str] = field(default_factory=Counter)

    def count(self, result: Result, expected: str = "202") -> None:
        """Add what the generator saw to the sums."""
        self.accepted += result.accepted
        self.unexpected.update({key: count for key, count in result.statuses.items() if key != expected})
        if result.disconnected:
            self.unexpected["disconnected"] += result.disconnected

    def median(self, of: Callable[[Burst], float]) -> float:
        """The median over the rounds."""
        return statistics.median(map(of, self.rounds))

    @property
    def cpu(self) -> float:
        """Microseconds of processor time for each event."""
        return self.median(lambda burst: burst.cpu_per_answer)

    @property
    def lost(self) -> int | None:
        """Return how many accepted events are missing in the queue; None without a queue."""
        return self.accepted - self.stored if self.contender.exchange else None


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    rounds: int
    events: int
    alone: int
    scheduled: int
    forged: int
    handled: int


class Measurements:
    """Sends load to started contenders and keeps the records."""

    def __init__(
        self,
        contenders: Sequence[Contender],
        surroundings: Surroundings,
        queue: Queue,
        neighbours: dict[str, int],
        say: Callable[[str], None],
    ) -> None:
        self.surroundings = surroundings
        self.queue = queue
        self._neighbours = neighbours
        self._say = say
        self.records = [Record(contender) for contender in contenders]

    def run(self, scale: Scale) -> None:
        """Measure everything but the soak."""
        for record in self.records:
            record.idle_bytes = meter.resident_bytes(record.contender.pid)
        for record in self.records:
            self._say(f"warming up {record.contender.name}")
            self.burst(record, max(scale.events // 5, 200))
        for number in range(scale.rounds):
            # The first of a round inherits the caches of the last: nobody is always first.
            turn = number % len(self.records)
            for record in self.records[turn:] + self.records[:turn]:
                burst = self.burst(record, scale.events)
                record.rounds.append(burst)
                self._say(
                    f"round {number + 1} of {scale.rounds}: {record.contender.name:8}"
                    f" {burst.result.rate:8,.0f} events/s {burst.cpu_per_answer:6.1f} µs CPU"
                )
                if record.contender.exchange:
                    record.forged.append(self.burst(record, scale.forged // scale.rounds, is_forged=True))
        for record in self.records:
            self._say(f"one connection, and open loop: {record.contender.name}")
            record.alone = self.burst(record, scale.alone, connections=1)
            for rate in OPEN_LOOP_RATES:
                record.scheduled[rate] = self.burst(record, scale.scheduled, rate=rate)
        for record in self.records:
            record.final_bytes = meter.resident_bytes(record.contender.pid)
            record.console_bytes = meter.console_bytes(record.contender.pid)
        # Last: the memory that bodies of 1 MB take says nothing about what grows with the number of events.
        for number in range(scale.rounds):
            self._measure_sizes(scale, number)
        for record in self.records:
            record.largest_bytes = meter.resident_bytes(record.contender.pid)

    def _measure_sizes(self, scale: Scale, number: int) -> None:
        for size in SIZES:
            self._say(f"round {number + 1} of {scale.rounds}: {size:,} bytes")
            events = min(scale.events, _SIZED_BYTES // size)
            for record in self.records:
                record.sized.setdefault(size, []).append(self.burst(record, events, size=size))

    def soak(self, record: Record, events: int, step: int) -> list[tuple[int, int]]:
        """Send `events` events and return (events so far, resident bytes) at every `step`."""
        marks = [(0, meter.resident_bytes(record.contender.pid))]
        sent = 0
        while sent < events:
            portion = min(_PORTION, events - sent, step - sent % step)
            self.burst(record, portion)
            sent += portion
            if sent % step == 0 or sent == events:
                marks.append((sent, meter.resident_bytes(record.contender.pid)))
                self._say(f"soak: {sent:>9,} events, {marks[-1][1] / 2**20:.1f} MiB resident")
        return marks

    def stop(self) -> None:
        """End the contenders: nothing more is measured of them, and they would be in the way."""
        for record in self.records:
            record.contender.child.stop()

    def burst(
        self,
        record: Record,
        events: int,
        *,
        connections: int = CONNECTIONS,
        rate: float = 0.0,
        is_forged: bool = False,
        size: int = 0,
    ) -> Burst:
        """Send `events` events, and account for them."""
        contender = record.contender
        contender.child.expect_running()
        before, of_console = meter.cpu_seconds(contender.pid), meter.console_cpu_seconds(contender.pid)
        beside = {name: meter.cpu_seconds(pid) for name, pid in self._neighbours.items()}
        memory = self._redis_memory()
        result = self.load(contender.port, events, connections, rate, is_forged=is_forged, size=size)
        # Before the queue is emptied, which is our doing and not the contender's.
        neighbours = {name: meter.cpu_seconds(pid) - beside[name] for name, pid in self._neighbours.items()}
        stored = self.queue.drain(result.accepted) if contender.exchange else None
        # Read after the queue has everything, so that work put off until after the answer is counted too.
        cpu_seconds = meter.cpu_seconds(contender.pid) - before
        neighbours[CONSOLE] = meter.console_cpu_seconds(contender.pid) - of_console
        record.count(result, expected="401" if is_forged else "202")
        record.stored += stored or 0
        return Burst(result, cpu_seconds, neighbours, self._redis_memory() - memory)

    def _redis_memory(self) -> int:
        """Return the bytes that Redis uses for what it keeps beyond a lease; 0 if there is none."""
        if not self.surroundings.redis_url:
            return 0
        with redis.Redis.from_url(self.surroundings.redis_url) as client:
            end_leases(client)
            return int(client.info("memory")["used_memory_dataset"])

    def load(
        self,
        port: int,
        events: int,
        connections: int,
        rate: float = 0.0,
        *,
        is_forged: bool = False,
        size: int = 0,
    ) -> Result:
        """What the generator saw when it had sent `events` events."""
        return self.start_load(port, events, connections, rate, is_forged=is_forged, size=size)()

    def start_load(
        self,
        port: int,
        events: int,
        connections: int,
        rate: float = 0.0,
        *,
        is_forged: bool = False,
        size: int = 0,
    ) -> Callable[[], Result]:
        """Start the generator, and return what waits for its result."""
        command = [
            *(sys.executable, "-m", "bench.load", str(port), "--events", str(events)),
            *("--connections", str(connections), "--rate", str(rate), "--size", str(size)),
            *(["--forged"] if is_forged else []),
        ]
        generator = subprocess.Popen(
            command, env=self.surroundings.environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        )

        def result() -> Result:
            output, _ = generator.communicate()
            if generator.returncode:
                raise subprocess.CalledProcessError(generator.returncode, command)
            return Result(**json.loads(output))

        return result
