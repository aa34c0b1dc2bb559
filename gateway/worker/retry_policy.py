"""How a delivery is settled after an attempt, and the headers that record its failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gateway.events.message import (
    ATTEMPTS,
    EXCEPTION,
    EXCEPTION_AT,
    FIRST_FAILED_AT,
    LAST_FAILED_AT,
    QUEUE,
    REASON,
)
from gateway.signatures.times import rfc3339_milliseconds
from gateway.worker.backoff import Backoff
from gateway.worker.errors import Dead, Retry
from gateway.worker.queue import Delivery, MessageHeaders
from gateway.worker.tracebacks import place_of
from gateway.worker.worker import Worker

SettlementName = Literal[
    "handled", "unhandled", "duplicate", "in_flight", "waiting", "limited", "retried", "dead", "requeued", "unsettled",
]  # fmt: skip
"""The outcomes of the log and the metrics, as docs/reference/workers.md lists them. Any becomes ``unsettled`` if the broker
may not have learned of it."""

FINAL: frozenset[SettlementName] = frozenset(("handled", "duplicate", "dead"))
"""Final outcomes: the event is not delivered again."""

_IN_FLIGHT_DELAY = 10.0
"""Seconds until an event is tried again that another process is handling: a third of the default lease."""


@dataclass(slots=True)
class Settlement:
    """How a delivery is settled.

    Attributes:
        name: The outcome.
        failure: What the handler raised, if it failed.
        delay: Seconds until the event is delivered again.
        headers: Headers to add to the message.
    """

    name: SettlementName
    failure: BaseException | None = None
    delay: float = 0.0
    headers: MessageHeaders | None = None


class RetryPolicy:
    """Decides whether an event is tried again, and when.

    Args:
        worker: The declaration with the number of attempts and the delays.
        clock: Returns Unix seconds.
    """

    def __init__(self, worker: Worker, clock: Callable[[], float]) -> None:
        self._worker = worker
        self._clock = clock
        self._backoff = Backoff(worker.retry_from, worker.retry_most)

    def in_flight(self) -> Settlement:
        """Return the settlement of an event that another process is handling."""
        return self.deferred("in_flight", _IN_FLIGHT_DELAY)

    def deferred(self, name: SettlementName, seconds: float) -> Settlement:
        """Return the settlement of an event that was not tried and is redelivered in ``seconds``.

        The delay is rounded up to the next one of the backoff.
        """
        return Settlement(name, None, self._backoff.at_least(seconds), {})

    def failed(self, delivery: Delivery, error: BaseException) -> Settlement:
        """Return the settlement after a failed attempt: a retry, or a dead letter after the last."""
        attempts = delivery.attempts + 1
        if isinstance(error, Dead) or attempts >= self._worker.attempts:
            return self.dead_lettered(delivery, error)
        after = error.after if isinstance(error, Retry) else None
        delay = self._backoff.after(attempts) if after is None else self._backoff.at_least(after)
        headers: MessageHeaders = {
            ATTEMPTS: attempts,
            FIRST_FAILED_AT: delivery.first_failed_at or self._now(),
        }
        return Settlement("retried", error, delay, headers)

    def dead_lettered(self, delivery: Delivery, error: BaseException) -> Settlement:
        """Return the settlement of an event that is dead-lettered because of ``error``."""
        now, attempts = self._now(), delivery.attempts + 1
        reason = error.reason if isinstance(error, Dead) else f"failed {attempts} times"
        headers: MessageHeaders = {
            REASON: reason,
            EXCEPTION: qualified_name(error),
            **({EXCEPTION_AT: place} if (place := place_of(error)) else {}),
            ATTEMPTS: attempts,
            FIRST_FAILED_AT: delivery.first_failed_at or now,
            LAST_FAILED_AT: now,
            QUEUE: self._worker.queue,
        }
        return Settlement("dead", error, 0.0, headers)

    def _now(self) -> str:
        return rfc3339_milliseconds(self._clock())


def qualified_name(error: BaseException) -> str:
    """Return the name of the exception's type, with its module unless it is built in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
