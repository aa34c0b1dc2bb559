"""The statistics of a worker's process: a log line per delivery, and the metrics' numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

import structlog

from gateway.observability.logs import has_exception_messages
from gateway.worker.errors import Dead, Retry
from gateway.worker.event import Event
from gateway.worker.queue import Delivery
from gateway.worker.retry_policy import Settlement, qualified_name
from gateway.worker.tracebacks import describe_trace

DURATION_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds in seconds for the time of an attempt: from a quick update to an agent that works for half an hour."""

LAG_BUCKETS = (0.1, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)
"""Upper bounds in seconds for the age of an event at its first attempt: from no backlog to one of a day."""

_MAX_MESSAGE = 2000
"""Characters of an exception's text that are logged: some libraries quote whole responses."""

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

        Of a failure the line has the exception's type and place. Its text may quote the event: the line has it only on
        a terminal, or if ``log.exception_messages`` allows it. ``result`` is what the handler passed to ``event.outcome``.
        """
        self.outcomes[settlement.name] += 1
        failure = settlement.failure
        fields: dict[str, object] = {
            "queue": self._queue,
            "type": event.type if event else None,
            "id": event.id if event else None,
            "outcome": settlement.name,
            "attempts": delivery.attempts + 1,
            "ms": round(seconds * 1000, 1),
        }
        if event and event.named_outcome:
            fields["result"] = event.named_outcome
        if failure is None:
            log.info("delivery", **fields)
            return
        if isinstance(failure, Dead):
            fields["reason"] = failure.reason
        else:
            if has_exception_messages():
                fields["error_message"] = str(failure)[:_MAX_MESSAGE]
            if not isinstance(failure, Retry) and (trace := describe_trace(failure)):
                fields["trace"] = trace
        log.warning("delivery", **fields, delay=settlement.delay, error=qualified_name(failure))
