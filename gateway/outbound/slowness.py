"""Slow receivers: they get fewer requests at a time, so that they do not fill the lanes of the others."""

from __future__ import annotations

from collections import deque

SLOW = 5.0
"""Seconds: a receiver is slow if more than one in twenty of its last attempts took longer."""

PERIOD = 600.0
"""Seconds after which a slow receiver gets half as many requests at a time, or one that is slow no longer twice as many."""

MIN_CONCURRENCY = 2
"""Requests at a time that a slow receiver keeps, if its endpoint has that many."""

_ATTEMPTS = 50
_MIN_ATTEMPTS = 10
_MAX_HALVINGS = 6  # of 64, the largest concurrency


class Slowness:
    """How long a receiver takes."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_ATTEMPTS)
        self._halvings = 0
        self._is_slow = False
        self._since = 0.0

    @property
    def p95(self) -> float | None:
        """Return the time in seconds that 95 % of the last attempts did not exceed; None if there were too few."""
        if len(self._seconds) < _MIN_ATTEMPTS:
            return None
        ordered = sorted(self._seconds)
        return ordered[-(-len(ordered) * 19 // 20) - 1]

    @property
    def is_told(self) -> bool:
        """Return whether the receiver has been slow for so long that its owner has to know."""
        return self._halvings > 0

    def note(self, now: float, seconds: float) -> None:
        """Note an attempt that took so long, whatever its outcome. ``now`` is in Unix seconds."""
        self._seconds.append(seconds)
        p95 = self.p95
        if p95 is None:
            return
        if (p95 > SLOW) is not self._is_slow:
            self._is_slow = not self._is_slow
            self._since = now
        if now - self._since >= PERIOD:
            self._since = now
            self._halvings = min(max(self._halvings + (1 if self._is_slow else -1), 0), _MAX_HALVINGS)

    def limit(self, concurrency: int) -> int:
        """Return how many requests at a time the receiver gets of those that its endpoint has."""
        return max(concurrency >> self._halvings, min(MIN_CONCURRENCY, concurrency))
