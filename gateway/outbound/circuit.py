"""The circuit of an endpoint: how many requests it gets at a time, from none to its `concurrency`.

Closed, the endpoint gets as many as it has shown to take: one before its first success, and one more with every success. After
failures the circuit opens, and the endpoint gets nothing for a while. Then one request goes out as a probe. A success closes the
circuit; the slow start keeps the backlog from running over a receiver that has just recovered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

from gateway.outbound.models import Health
from gateway.outbound.schedule import between

MAX_FAILURES = 5
"""Failures in a row that open the circuit."""

WINDOW = 20
"""Attempts that are looked back at."""

MAX_FAILURES_IN_WINDOW = 10
"""Failures among these that open the circuit, if they are all from the last minute."""

WINDOW_SECONDS = 60.0

FIRST_OPEN, MAX_OPEN = 30.0, 600.0
"""Seconds for which the circuit is open at first, and at most. The time doubles with each probe that fails."""

_JITTER = (0.8, 1.2)

CircuitState = Literal["closed", "open", "half_open"]
"""Whether an endpoint gets attempts: all that are due, none for a while, or one to see whether it is well again."""


def circuit_state(health: Health, now: float) -> CircuitState:
    """Return whether an endpoint gets attempts at ``now`` (Unix seconds), as far as its health says."""
    if health.closed_until is None:
        return "closed"
    return "open" if health.closed_until > now else "half_open"


class Circuit:
    """The circuit of one endpoint.

    Args:
        health: What is known from before.
        concurrency: The most requests at a time.
        chance: Returns a number from 0 to 1, such as :func:`random.random`.
    """

    def __init__(self, health: Health, concurrency: int, chance: Callable[[], float]) -> None:
        self._limit = concurrency
        self._chance = chance
        self._failures = health.failures
        self._failing_since = health.failing_since
        self._succeeded_at = health.succeeded_at
        self._openings = health.openings
        self._taken = max(1, min(health.concurrency, concurrency)) if not health.openings else 1
        # Of a pause from before a restart nobody knows whose wish it was; it is kept whatever happens.
        self._paused_until = health.closed_until or 0.0
        self._open_until = 0.0
        self._opened_at = -1.0
        self._recent: deque[tuple[float, bool]] = deque(maxlen=WINDOW)

    @property
    def is_open(self) -> bool:
        """Return whether the circuit has opened and no success has closed it since."""
        return self._openings > 0

    @property
    def closed_until(self) -> float | None:
        """Return until when the endpoint gets nothing; None if nothing has closed it."""
        return max(self._open_until, self._paused_until) or None

    def allowance(self, now: float) -> int:
        """Return how many requests may be under way at ``now``: 0 while it is closed, 1 for a probe."""
        if now < self._open_until or now < self._paused_until:
            return 0
        return 1 if self._openings else self._taken

    def resize(self, concurrency: int) -> None:
        """Set another limit on requests at a time."""
        self._limit = concurrency
        self._taken = min(self._taken, concurrency)

    def note_success(self, now: float) -> None:
        """Note an attempt that the receiver accepted."""
        self._succeeded_at = now
        self.note_refusal(now)

    def note_refusal(self, now: float) -> None:
        """Note an attempt that the receiver refused as its owner expects: it works, and has taken nothing."""
        self._recent.append((now, True))
        self._failures = 0
        self._failing_since = None
        if self._openings:
            self._openings = 0
            self._open_until = 0.0
            self._recent.clear()
        self._taken = min(self._taken + 1, self._limit)

    def note_failure(self, now: float, began_at: float) -> None:
        """Note an attempt that failed, and open the circuit if there were too many.

        Args:
            now: Unix seconds.
            began_at: When the attempt began. One from before the circuit opened says nothing about the probe.
        """
        self._recent.append((now, False))
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = began_at
        if began_at < self._opened_at or now < self._open_until:
            return
        if self._openings or self._failures >= MAX_FAILURES or self._fails_often(now):
            self._open(now)

    def pause(self, now: float, seconds: float) -> None:
        """Close the endpoint because its receiver asked for it. No success ends that."""
        self._paused_until = max(self._paused_until, now + seconds)

    def reset(self) -> None:
        """Forget all failures and pauses: somebody has enabled the endpoint."""
        self._failures, self._failing_since, self._openings = 0, None, 0
        self._open_until = self._paused_until = 0.0
        self._opened_at = -1.0
        self._taken = 1
        self._recent.clear()

    def health(self, known: Health, now: float) -> Health:
        """Return what is known of the endpoint, with what the circuit knows."""
        closed_until = self.closed_until
        return msgspec.structs.replace(
            known,
            failures=self._failures,
            failing_since=self._failing_since,
            succeeded_at=self._succeeded_at,
            closed_until=closed_until if closed_until and closed_until > now else None,
            openings=self._openings,
            concurrency=self._taken,
        )

    def _fails_often(self, now: float) -> bool:
        failures = [at for at, succeeded in self._recent if not succeeded and now - at <= WINDOW_SECONDS]
        return len(failures) >= MAX_FAILURES_IN_WINDOW

    def _open(self, now: float) -> None:
        seconds = min(FIRST_OPEN * 2.0**self._openings, MAX_OPEN)
        self._openings += 1
        self._opened_at = now
        self._open_until = now + seconds * between(_JITTER, self._chance())
        self._taken = 1
