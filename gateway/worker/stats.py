"""What a worker tells of its deliveries: a log line for each, and numbers."""

from __future__ import annotations

import traceback
from bisect import bisect_left
from collections import Counter
from types import TracebackType

import structlog

from gateway.worker.errors import Dead, Retry
from gateway.worker.event import Event
from gateway.worker.queue import Delivery
from gateway.worker.retry_policy import Settlement, qualified_name

DURATIONS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)  # seconds
LAGS = (0.1, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)

log = structlog.get_logger()


class Histogram:
    """How many of the observed seconds were up to which bound.

    Attributes:
        bounds: the bounds; there is none for the last count.
        counts: how many were up to each and above the one before.
        sum: all of them together.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Stats:
    """What one process tells of the deliveries of ``queue``.

    Attributes:
        outcomes: how many deliveries had which.
        durations: of attempts.
        lags: from the arrival of events at the gateway to their first attempt.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self.outcomes: Counter[str] = Counter()
        self.durations = Histogram(DURATIONS)
        self.lags = Histogram(LAGS)

    def tell(self, event: Event | None, delivery: Delivery, outcome: Settlement, seconds: float) -> None:
        """One line; of a failure the exception's type and place, never its text or any value of the event."""
        self.outcomes[outcome.name] += 1
        failure = outcome.failure
        fields = {
            "queue": self._queue,
            "type": event.type if event else None,
            "id": event.id if event else None,
            "outcome": outcome.name,
            "attempts": delivery.attempts + 1,
            "ms": round(seconds * 1000, 1),
        }
        if failure is None:
            log.info("delivery", **fields)
            return
        if isinstance(failure, Dead):
            fields["reason"] = failure.reason
        elif not isinstance(failure, Retry) and (trace := _without_ours(failure.__traceback__)):
            fields["trace"] = "".join(traceback.format_tb(trace))
        log.warning("delivery", **fields, delay=outcome.delay, error=qualified_name(failure))


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """The trace from where the handler was called."""
    while trace and trace.tb_frame.f_globals.get("__name__") == "gateway.worker.executor":
        trace = trace.tb_next
    return trace
