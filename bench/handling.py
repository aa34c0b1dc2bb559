"""The cost of handling an event: the consumers compared, and the figures with their limits."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.grid import NOTHING, TIMES, Grid, judged

_MAX_TIMES_PLAIN = 1.5
"""The limit for a worker's processor time, in multiples of plain aio-pika's."""

_MAX_ROUND_TRIPS = 1.0
"""The limit for round trips to Redis per event."""

_CPU_NOTE = """\
Each consumer decodes the event, notes its id and acknowledges it, in a process of its own, on uvloop. A worker is at
its shipped defaults but for the number of events at a time, and so writes a line of log for each; the others write none.
The queues, quorum queues but for the embedded one, were filled before; a tenth more is handled first, and not measured.
Medians over the rounds. The limit is {limit:g} times the CPU of aio-pika with orjson. Every event was looked for: wrong are those that
were handled never, or more than once, or were left in the queue."""
_REDIS_NOTE = """\
A round trip is a write of the worker's that Redis reads and answers, with one command or many: whatever the handlers
that run side by side have to ask goes together."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """One of the consumers compared.

    Attributes:
        name: as the table has it.
        module: of `bench.consumers`, with what it is told.
        guard: of a worker; empty for who has none.
        is_embedded: whether its queue and what it has done are in the embedded database.
        prefetch: how many events it has at a time.
    """

    name: str
    module: tuple[str, ...]
    guard: str = ""
    is_embedded: bool = False
    prefetch: int = 50

    @property
    def asks_redis(self) -> bool:
        """Whether it has Redis keep it from handling an event twice."""
        return self.guard == "strict" and not self.is_embedded


PLAIN = Consumer("aio-pika, orjson", ("plain", "orjson"))
CONSUMERS = (
    PLAIN,
    Consumer("aio-pika, json", ("plain", "json")),
    Consumer("FastStream, orjson", ("stream",)),
    Consumer("worker, guard off", ("agent",), guard="off"),
    Consumer("worker, guard in Redis", ("agent",), guard="strict"),
    Consumer("the same, 10 at a time", ("agent",), guard="strict", prefetch=10),
    Consumer("worker, embedded", ("agent",), guard="strict", is_embedded=True),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One of its turns; all figures but the rate are for each event.

    Attributes:
        rate: events a second.
        cpu: microseconds of its processor time.
        rabbitmq: the same of RabbitMQ.
        redis: the same of Redis.
        commands: that Redis carried out.
        round_trips: that it made of them.
    """

    rate: float
    cpu: float
    rabbitmq: float
    redis: float
    commands: float
    round_trips: float


@dataclass(slots=True)
class Handling:
    """What was measured of one consumer.

    Attributes:
        turns: one for each round.
        wrong: events that were handled never or more than once, or were left.
    """

    consumer: Consumer
    turns: list[Turn] = field(default_factory=list)
    wrong: int = 0

    def median(self, of: Callable[[Turn], float]) -> float:
        """The median over the rounds."""
        return statistics.median(map(of, self.turns))


def grids(records: list[Handling], events: int) -> list[Grid]:
    """What was measured over ``events`` events a round, beside its limits."""
    plain = next(record for record in records if record.consumer is PLAIN).median(lambda turn: turn.cpu)
    most = records[0].consumer.prefetch
    return [
        Grid(
            f"Handling {events:,} events, {most} at a time (CPU in \N{MICRO SIGN}s per event)",
            ("", "events/s", "CPU", f"{TIMES} aio-pika", "limit", "met", "RabbitMQ", "wrong"),
            [_cpu_row(record, plain) for record in records],
            _CPU_NOTE.format(limit=_MAX_TIMES_PLAIN),
        ),
        Grid(
            "What a guarded event asks of Redis (CPU in \N{MICRO SIGN}s per event)",
            ("", "CPU", "commands", "round trips", "limit", "met"),
            [_redis_row(record) for record in records if record.consumer.asks_redis],
            _REDIS_NOTE,
        ),
    ]


def _cpu_row(record: Handling, plain: float) -> tuple[str, ...]:
    consumer, times = record.consumer, record.median(lambda turn: turn.cpu) / plain
    return (
        consumer.name,
        f"{record.median(lambda turn: turn.rate):,.0f}",
        f"{record.median(lambda turn: turn.cpu):.0f}",
        f"{times:.2f}",
        *(judged(times, _MAX_TIMES_PLAIN) if consumer.guard == "off" else (NOTHING, NOTHING)),
        NOTHING if consumer.is_embedded else f"{record.median(lambda turn: turn.rabbitmq):.0f}",
        f"{record.wrong:,}",
    )


def _redis_row(record: Handling) -> tuple[str, ...]:
    round_trips = record.median(lambda turn: turn.round_trips)
    return (
        record.consumer.name,
        f"{record.median(lambda turn: turn.redis):.0f}",
        f"{record.median(lambda turn: turn.commands):.2f}",
        f"{round_trips:.2f}",
        *judged(round_trips, _MAX_ROUND_TRIPS),
    )
