"""Claims in memory: for tests, of this program and of its users."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.claims import PENDING, Standing, StoreReport, done_value, standing_of


class MemoryClaims:
    """Claims that last as long as the process.

    Args:
        lease: seconds that a claim is held at most.
        retention: seconds that a done event is remembered.
        clock: seconds on any steady scale.
    """

    unavailable_reason = ""
    has_been_ready = True

    def __init__(
        self, lease: float = 30, retention: float = 345_600, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease = lease
        self._retention = retention
        self._clock = clock
        self._values: dict[str, tuple[bytes, float]] = {}

    async def start(self) -> None:
        """See :class:`gateway.claims.Claims`."""

    async def stop(self) -> None:
        """See :class:`gateway.claims.Claims`."""

    async def claim(self, key: str, token: str) -> Standing:
        """See :class:`gateway.claims.Claims`."""
        holder = PENDING + token.encode()
        return standing_of(self._take(key, holder, self._lease), holder)

    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        """See :class:`gateway.claims.Claims`."""
        self._values[key] = done_value(content), self._clock() + (retention or self._retention)

    def release(self, key: str, token: str) -> None:
        """See :class:`gateway.claims.Claims`."""
        if self._get(key) == PENDING + token.encode():
            del self._values[key]

    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        """See :class:`gateway.claims.Claims`."""
        holder = PENDING + token.encode()
        if self._take(key, holder, self._lease) in {None, holder}:
            self._values[key] = holder, self._clock() + self._lease
        else:
            on_loss()

    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:
        """See :class:`gateway.claims.Claims`."""
        if self._take(key, value, retention or self._retention) not in (None, value):
            on_other()

    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        """See :class:`gateway.claims.Claims`."""
        return StoreReport()

    async def forget(self, key: str) -> bool:
        """See :class:`gateway.claims.Claims`."""
        return self._values.pop(key, None) is not None

    def _take(self, key: str, value: bytes, duration: float) -> bytes | None:
        """Put ``value`` under a free ``key``; tell what stood there."""
        found = self._get(key)
        if found is None:
            self._values[key] = value, self._clock() + duration
        return found

    def _get(self, key: str) -> bytes | None:
        value, expires_at = self._values.get(key, (None, 0.0))
        return value if expires_at > self._clock() else None
