"""The rate of attempts to one endpoint: a token bucket of one second."""

from __future__ import annotations


class RateLimit:
    """Allows so many attempts a second, and as many at once after a pause.

    Args:
        rate: Attempts a second; None for no limit.
    """

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self._tokens = max(rate or 0.0, 1.0)
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin; 0 if it may now."""
        if self.rate is None:
            return 0.0
        self._refill(now)
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self.rate

    def take(self, now: float) -> None:
        """Count an attempt that begins."""
        if self.rate is not None:
            self._refill(now)
            self._tokens -= 1

    def _refill(self, now: float) -> None:
        assert self.rate is not None  # noqa: S101 -- there is nothing to refill otherwise
        passed = max(now - self._at, 0.0) if self._at is not None else 0.0
        self._at = now
        self._tokens = min(self._tokens + passed * self.rate, max(self.rate, 1.0))
