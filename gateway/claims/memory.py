"""Claims in memory: for tests, of this program and of its users."""

from __future__ import annotations

import time
from collections.abc import Callable

from typing_extensions import override

from gateway.claims import PENDING, Claims, Standing, StoreReport, done_value, standing_alone, standing_of


class MemoryClaims(Claims):
    """Claims that last as long as the process.

    Args:
        lease: Seconds that a claim is held at most.
        retention: Seconds that a published event is remembered.
        clock: Monotonic seconds.

    Attributes:
        values: The value and the end of each key, as Redis would have them.
    """

    unavailable_reason = ""
    has_been_tried = True

    def __init__(
        self, lease: float = 30, retention: float = 345_600, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease = lease
        self._retention = retention
        self._clock = clock
        self.values: dict[str, tuple[bytes, float]] = {}

    @override
    async def start(self) -> None:
        pass

    @override
    async def stop(self) -> None:
        pass

    @override
    async def claim(self, key: str, token: str) -> Standing:
        holder = PENDING + token.encode()
        return standing_of(self._take(key, holder, self._lease), holder)

    @override
    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        self.values[key] = done_value(content), self._clock() + (retention or self._retention)

    @override
    def release(self, key: str, token: str) -> None:
        if self._get(key) == PENDING + token.encode():
            del self.values[key]

    @override
    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        holder = PENDING + token.encode()
        if self._take(key, holder, self._lease) in {None, holder}:
            self.values[key] = holder, self._clock() + self._lease
        else:
            on_loss()

    @override
    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:
        if self._take(key, value, retention or self._retention) not in (None, value):
            on_other()

    @override
    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        return StoreReport()

    @override
    async def look_up(self, key: str) -> Standing | None:
        return standing_alone(self._get(key))

    @override
    async def forget(self, key: str) -> bool:
        return self.values.pop(key, None) is not None

    def _take(self, key: str, value: bytes, duration: float) -> bytes | None:
        """Put ``value`` under ``key`` if it is free, and return the value that it had."""
        found = self._get(key)
        if found is None:
            self.values[key] = value, self._clock() + duration
        return found

    def _get(self, key: str) -> bytes | None:
        value, expires_at = self.values.get(key, (None, 0.0))
        return value if expires_at > self._clock() else None
