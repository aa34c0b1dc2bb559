"""The circuit breaker around handlers: after failures in a row, events stay in the queue.

Either the service that they call is down, or the handlers are broken. In both cases every event that is tried
meanwhile uses up one of its attempts, and may cost money.
"""

from __future__ import annotations

from collections.abc import Callable

_FIRST_PAUSE = 10.0
"""Seconds of the first pause: long enough for a service to restart."""

_MAX_PAUSE = 300.0
"""Seconds of the longest pause: how late a worker may notice that a service is back."""


class HandlerBreaker:
    """Opens after ``failures`` in a row; closes when one event, tried after a pause, succeeds.

    Args:
        failures: Failures in a row that open it; None if it never opens.
        clock: Returns monotonic seconds.

    Attributes:
        failures: Failures in a row so far.
        is_open: Whether events are tried one at a time, and only after :attr:`pause`.
    """

    def __init__(self, failures: int | None, clock: Callable[[], float]) -> None:
        self._max_failures = failures
        self._clock = clock
        self.failures = 0
        self._next_pause = _FIRST_PAUSE
        self._paused_until = 0.0
        self.is_open = False

    @property
    def pause(self) -> float:
        """Return the seconds until an event may be tried again; 0 if one may be tried now."""
        return max(self._paused_until - self._clock(), 0.0)

    def note_success(self) -> None:
        """Close the breaker: a handler returned."""
        self.failures = 0
        self._next_pause = _FIRST_PAUSE
        self._paused_until = 0.0
        self.is_open = False

    def note_failure(self) -> float:
        """Count a failed attempt; return the seconds of the pause that it begins, or 0 for none."""
        self.failures += 1
        if self._max_failures is None or self.failures < self._max_failures or self.pause:
            return 0.0
        pause = self._next_pause
        self.is_open = True
        self._paused_until = self._clock() + pause
        self._next_pause = min(2 * pause, _MAX_PAUSE)
        return pause
