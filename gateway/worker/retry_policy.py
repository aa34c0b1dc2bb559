"""What becomes of a delivery, and what is written on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gateway.events.message import ATTEMPTS, EXCEPTION, FIRST_FAILED_AT, LAST_FAILED_AT, QUEUE, REASON
from gateway.signatures.times import rfc3339_milliseconds
from gateway.worker.backoff import Backoff
from gateway.worker.errors import Dead, Retry
from gateway.worker.queue import Delivery, MessageHeaders
from gateway.worker.worker import Worker

SettlementName = Literal[
    "handled", "unhandled", "duplicate", "in_flight", "waiting", "limited", "retried", "dead", "requeued", "unsettled",
]  # fmt: skip
"""See docs/workers.md; ``unsettled`` is what any becomes when the broker could not be told."""

FINAL: frozenset[SettlementName] = frozenset(("handled", "duplicate", "dead"))
"""After which an event does not come again."""

_IN_FLIGHT_DELAY = 10.0  # seconds until an event is looked at again that another process handles


@dataclass(slots=True)
class Settlement:
    """What became of a delivery.

    Attributes:
        name: the word for it.
        failure: what the handler raised, if it did.
        delay: seconds until it is delivered again.
        headers: what is added to it.
    """

    name: SettlementName
    failure: BaseException | None = None
    delay: float = 0.0
    headers: MessageHeaders | None = None


class RetryPolicy:
    """Decides how an event comes again, or that it does not.

    Args:
        worker: how patient it is.
        clock: Unix seconds.
    """

    def __init__(self, worker: Worker, clock: Callable[[], float]) -> None:
        self._worker = worker
        self._clock = clock
        self._ladder = Backoff(worker.retry_from, worker.retry_most)

    def in_flight(self) -> Settlement:
        """Another process handles the event."""
        return self.defer("in_flight", _IN_FLIGHT_DELAY)

    def defer(self, name: SettlementName, seconds: float) -> Settlement:
        """The event comes again, and nothing was tried."""
        return Settlement(name, None, self._ladder.at_least(seconds), {})

    def failed(self, delivery: Delivery, error: BaseException) -> Settlement:
        """An attempt failed with ``error``: another follows, unless it was the last."""
        attempts = delivery.attempts + 1
        if isinstance(error, Dead) or attempts >= self._worker.attempts:
            return self.dead_lettered(delivery, error)
        after = error.after if isinstance(error, Retry) else None
        delay = self._ladder.after(attempts) if after is None else self._ladder.at_least(after)
        headers: MessageHeaders = {
            ATTEMPTS: attempts,
            FIRST_FAILED_AT: delivery.first_failed_at or self._now(),
        }
        return Settlement("retried", error, delay, headers)

    def dead_lettered(self, delivery: Delivery, error: BaseException) -> Settlement:
        """The event goes to the dead queue because of ``error``."""
        now, attempts = self._now(), delivery.attempts + 1
        reason = error.reason if isinstance(error, Dead) else f"failed {attempts} times"
        headers: MessageHeaders = {
            REASON: reason,
            EXCEPTION: qualified_name(error),
            ATTEMPTS: attempts,
            FIRST_FAILED_AT: delivery.first_failed_at or now,
            LAST_FAILED_AT: now,
            QUEUE: self._worker.queue,
        }
        return Settlement("dead", error, 0.0, headers)

    def _now(self) -> str:
        return rfc3339_milliseconds(self._clock())


def qualified_name(error: BaseException) -> str:
    """The type of an exception, for people."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
