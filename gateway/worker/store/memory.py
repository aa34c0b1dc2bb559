"""The store in memory: for tests, of this program and of its users."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from gateway.claims import DONE
from gateway.claims.memory import MemoryClaims
from gateway.worker.store import sequences


class MemoryStore(MemoryClaims):
    """See :class:`gateway.worker.store.Store`; lasts as long as the process."""

    def __init__(
        self, lease: float = 30, retention: float = 345_600, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(lease, retention, clock)
        self._lines: defaultdict[str, sequences.Line] = defaultdict(dict)
        self._grants: defaultdict[str, list[float]] = defaultdict(list)

    async def stand(self, line: str, member: str) -> float:
        """See :class:`gateway.worker.store.Store`."""
        return sequences.stand(
            self._lines[line], member, self._clock(), self._lease, lambda other: self._get(other) == DONE
        )

    async def defer(self, line: str, member: str, seconds: float | None) -> None:
        """See :class:`gateway.worker.store.Store`."""
        if member in self._lines[line]:
            self._lines[line][member] = 0.0 if seconds is None else self._clock() + seconds

    def leave(self, line: str, member: str) -> None:
        """See :class:`gateway.worker.store.Store`."""
        self._lines[line].pop(member, None)

    async def reserve(self, bucket: str, count: int, period: float, longest_wait: float) -> float:
        """See :class:`gateway.worker.store.Store`."""
        return sequences.reserve(self._grants[bucket], count, period, longest_wait, self._clock())
