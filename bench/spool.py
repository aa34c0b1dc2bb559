"""The spool: the rate of accepting without RabbitMQ, and of draining when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import meter
from bench.load import Result
from bench.measure import CONNECTIONS, Measurements, Record
from support.rabbitmq_server import RabbitMQServer

_POLL_DELAY = 0.02
"""Seconds between two looks at the number of spooled events."""

_DRAIN_TIMEOUT = 180.0
"""Seconds for which the draining of the spool is awaited."""


@dataclass(frozen=True, slots=True)
class Spooling:
    """What was measured.

    Attributes:
        accepting: the answers while RabbitMQ was away, all connections busy.
        scheduled: the answers while it was away, at a fixed rate.
        drained: how many events were then in the spool.
        seconds: how long they took, from the first confirm to the last.
        beside: the answers at that rate while they were drained.
    """

    accepting: Result
    scheduled: Result
    drained: int
    seconds: float
    beside: Result


def measure(
    measurements: Measurements,
    record: Record,
    rabbitmq: RabbitMQServer,
    events: int,
    rate: float,
    say: Callable[[str], None],
) -> Spooling:
    """Fill the spool with a few more than ``events`` events, and drain it while others arrive."""

    def spooled() -> int:
        return int(meter.reading(record.contender.admin_url, "webhook_spooled"))

    say(f"spool: sending {events:,} events while RabbitMQ is away")
    rabbitmq.kill()
    port = record.contender.port
    accepting = measurements.load(port, events, CONNECTIONS)
    scheduled = measurements.load(port, max(events // 10, 500), CONNECTIONS, rate)
    rabbitmq.start()
    beside = measurements.start_load(port, max(events // 10, 500), CONNECTIONS, rate)
    started_at, full = time.monotonic(), spooled()
    first_at = last_at = started_at
    left = full
    while left and time.monotonic() - started_at < _DRAIN_TIMEOUT:
        time.sleep(_POLL_DELAY)
        left, last_at = spooled(), time.monotonic()
        if left >= full:
            full, first_at = left, last_at
    drained, seconds = full - left, last_at - first_at
    say(f"spool: drained {drained:,} events at {drained / seconds:,.0f}/s")
    measured = Spooling(accepting, scheduled, drained, seconds, beside())
    for result in (accepting, scheduled, measured.beside):
        record.count(result)
    record.stored += measurements.queue.drain(
        accepting.accepted + scheduled.accepted + measured.beside.accepted
    )
    return measured
