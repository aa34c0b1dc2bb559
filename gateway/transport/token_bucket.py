"""A token bucket."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """A token bucket that what was admitted before it was empty may overdraw.

    Args:
        rate: its capacity in tokens, and the seconds in which that many are refilled.
        clock: seconds on any clock that does not go back.
    """

    def __init__(self, rate: tuple[float, float], clock: Callable[[], float]) -> None:
        tokens, seconds = rate
        self._capacity = float(tokens)
        self._per_second = tokens / seconds
        self._clock = clock
        self._level = self._capacity
        self._filled_at = clock()

    def is_empty(self) -> bool:
        """Refill the bucket, and return whether it has no token left."""
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return self._level < 1

    def delay(self) -> float:
        """Return the seconds until there is a token; 0 if there is one."""
        return (1 - self._level) / self._per_second if self.is_empty() else 0.0

    def take(self) -> None:
        """Take a token, even if none is left."""
        self._level -= 1
