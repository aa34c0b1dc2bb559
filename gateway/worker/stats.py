"""The statistics of a worker's process: a log line for each delivery, and the numbers for the metrics."""

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

DURATION_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds in seconds for the time of an attempt: from a quick update to an agent that works for half an hour."""

LAG_BUCKETS = (0.1, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)
"""Upper bounds in seconds for the age of an event at its first attempt: from no backlog to one of a day."""

_PACKAGE = __name__.rpartition(".")[0]

log = structlog.get_logger()


class Histogram:
    """Counts of observed seconds by bucket.

    Attributes:
        bounds: The upper bounds of the buckets, ascending. The last bucket has none.
        counts: The number of observations in each bucket, one more than there are bounds.
        sum: The sum of all observations, in seconds.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Stats:
    """What one process has done with the deliveries of ``queue``.

    Attributes:
        outcomes: The number of deliveries by outcome.
        durations: The time of attempts.
        lags: The time from an event's arrival at the gateway to its first attempt.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self.outcomes: Counter[str] = Counter()
        self.durations = Histogram(DURATION_BUCKETS)
        self.lags = Histogram(LAG_BUCKETS)

    def record(self, event: Event | None, delivery: Delivery, settlement: Settlement, seconds: float) -> None:
        """Count and log a settled delivery; ``event`` is None if the message is not an event.

        Of a failure the line has the exception's type and place, but never its text, which may quote the event.
        """
        self.outcomes[settlement.name] += 1
        failure = settlement.failure
        fields = {
            "queue": self._queue,
            "type": event.type if event else None,
            "id": event.id if event else None,
            "outcome": settlement.name,
            "attempts": delivery.attempts + 1,
            "ms": round(seconds * 1000, 1),
        }
        if failure is None:
            log.info("delivery", **fields)
            return
        if isinstance(failure, Dead):
            fields["reason"] = failure.reason
        elif not isinstance(failure, Retry) and (trace := _handler_trace(failure.__traceback__)):
            fields["trace"] = "".join(traceback.format_tb(trace))
        log.warning("delivery", **fields, delay=settlement.delay, error=qualified_name(failure))


def _handler_trace(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins in the handler: the frames of this package before it are left out."""
    while trace and trace.tb_frame.f_globals.get("__package__") == _PACKAGE:
        trace = trace.tb_next
    return trace
