"""A token bucket."""

from __future__ import annotations

from collections.abc import Callable

from gateway.signatures.units import EventRate


class TokenBucket:
    """A token bucket that requests admitted before it was empty may overdraw.

    Args:
        rate: its capacity in events, and the seconds in which that many are refilled.
        clock: seconds on a monotonic clock.
    """

    def __init__(self, rate: EventRate, clock: Callable[[], float]) -> None:
        self._capacity = float(rate.events)
        self._per_second = rate.events / rate.seconds
        self._clock = clock
        self._level = self._capacity
        self._filled_at = clock()

    def is_empty(self) -> bool:
        """Refill the bucket, and return whether it has no token left."""
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return self._level < 1

    def take(self) -> None:
        """Take a token, even if none is left."""
        self._level -= 1
