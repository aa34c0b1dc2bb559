"""What the faults cost: the limits, and the figures beside them."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

from bench.grid import TIMES, Grid, judged
from bench.load import Result

RATE = 200.0
FIRST = 20
STUCK = 50
DEADLINE = 2.0
REDIS_REFUSES, REDIS_SILENT = "Redis refuses connections", "Redis is frozen"
REFUSES, FROZEN, ALARM = (
    "RabbitMQ refuses connections",
    "RabbitMQ is frozen",
    "RabbitMQ has a memory alarm",
)
_ANSWERS_MS = {
    REDIS_REFUSES: 400.0,
    f"{REDIS_SILENT}: first": 400.0,
    f"{REDIS_SILENT}: later": 400.0,
    REFUSES: 300.0,
    f"{FROZEN}: first": 2300.0,
    f"{FROZEN}: later": 20.0,
    f"{ALARM}: first": 2300.0,
    f"{ALARM}: later": 20.0,
}
BOOTED, THAWED = "RabbitMQ accepts connections after kill -9", "RabbitMQ is thawed"
KILLED, ENDED = "gateway: kill -9 to ready", "gateway: SIGTERM to exit, idle"
STUCK_ENDED = f"gateway: SIGTERM to exit, half a body and {STUCK} half heads, deadline {DEADLINE:g} s"
_DELAYS_S = {
    f"{BOOTED}: first confirm": 3.0,
    f"{BOOTED}: first 202 not spooled": 3.0,
    f"{THAWED}: first confirm": 3.0,
    f"{THAWED}: first 202 not spooled": 3.0,
    KILLED: 3.0,
    ENDED: 1.0,
    STUCK_ENDED: DEADLINE + 1,
}

_ANSWERS_NOTE = f"""\
A gateway at its shipped defaults. "First" are {FIRST} events at once as soon as the fault is there; the others come
in open loop, {RATE:.0f}/s. Medians over the rounds; the limit is for the p99, which of {FIRST} answers is the longest."""
_DELAYS_NOTE = """\
Events wait in the spool when RabbitMQ returns: one of them is the first that it confirms. The limit is for the
median over the rounds."""


@dataclass(slots=True)
class Faults:
    """The measurements: answers by fault, and seconds by what was awaited, once a round."""

    answers: dict[str, list[Result]] = field(default_factory=lambda: {name: [] for name in _ANSWERS_MS})
    delays: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _DELAYS_S})

    def grids(self) -> list[Grid]:
        """What was measured, beside its limits."""
        answered = [_answer_row(name, results) for name, results in self.answers.items()]
        delayed = [_delay_row(name, seconds) for name, seconds in self.delays.items()]
        columns = ("", "answers", "p50", "p99", "max", "limit", "met")
        return [
            Grid("Answers while a server is away (latency in ms)", columns, answered, _ANSWERS_NOTE),
            Grid(
                "Until all is well again (in s)",
                ("", "median", "worst", "limit", "met"),
                delayed,
                _DELAYS_NOTE,
            ),
        ]


def _answer_row(name: str, results: list[Result]) -> tuple[str, ...]:
    statuses = sum((Counter(result.statuses) for result in results), Counter())
    said = ", ".join(f"{count:,} {TIMES} {status}" for status, count in statuses.items())
    p50, p99, longest = (
        statistics.median(getattr(result, key) for result in results) for key in ("p50", "p99", "longest")
    )
    return name, said, f"{p50:.1f}", f"{p99:.1f}", f"{longest:.1f}", *judged(p99, _ANSWERS_MS[name])


def _delay_row(name: str, seconds: list[float]) -> tuple[str, ...]:
    median = statistics.median(seconds)
    return name, f"{median:.2f}", f"{max(seconds):.2f}", *judged(median, _DELAYS_S[name])
