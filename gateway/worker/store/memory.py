"""The store in memory, for tests of this program and of its users."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from typing_extensions import override

from gateway.claims import DONE
from gateway.claims.memory import MemoryClaims
from gateway.worker.store import Store, result_in, sequences
from gateway.worker.store.sequences import Sequence


class MemoryStore(MemoryClaims, Store):
    """A store for one process, as long as it lives.

    Args:
        lease: Seconds after which a claim expires unless it is renewed.
        retention: Seconds that a done event is remembered.
        clock: Returns seconds.
    """

    def __init__(
        self, lease: float = 30, retention: float = 345_600, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(lease, retention, clock)
        self._sequences: defaultdict[str, Sequence] = defaultdict(dict)
        self._starts: defaultdict[str, list[float]] = defaultdict(list)

    @override
    async def result_of(self, key: str) -> str | None:
        return result_in(self._get(key))

    @override
    async def take_turn(self, sequence: str, member: str) -> float:
        return sequences.take_turn(
            self._sequences[sequence], member, self._clock(), self._lease, lambda key: self._get(key) == DONE
        )

    @override
    async def defer(self, sequence: str, member: str, seconds: float | None) -> None:
        if member in self._sequences[sequence]:
            self._sequences[sequence][member] = 0.0 if seconds is None else self._clock() + seconds

    @override
    def complete(self, sequence: str, member: str) -> None:
        self._sequences[sequence].pop(member, None)

    @override
    async def reserve(self, bucket: str, count: int, period: float, max_wait: float) -> float:
        return sequences.reserve(self._starts[bucket], count, period, max_wait, self._clock())
