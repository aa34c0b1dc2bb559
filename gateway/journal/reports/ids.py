"""Ids for the entries of processes that are no receiving process of a gateway: workers and commands."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from gateway.journal.entry import EPOCH_MS, SEQUENCE_BITS

_SEQUENCE_MASK = (1 << SEQUENCE_BITS) - 1
"""The low bits of an id."""


class EntryIds:
    """Makes the ids of one process, each larger than the one before.

    Nobody hands out numbers to these processes, so that the low bits begin at random and count on. Two processes may make
    the same id all the same: the journal then keeps both entries, the second one under the next id.

    Args:
        clock: Returns Unix seconds.
        start: The low bits of the first id; by default random.
    """

    def __init__(self, clock: Callable[[], float] = time.time, start: int | None = None) -> None:
        self._clock = clock
        self._sequence = random.getrandbits(SEQUENCE_BITS) if start is None else start
        self._last_ms = 0

    def next(self) -> int:
        """Return the next id."""
        now_ms = int(self._clock() * 1000) - EPOCH_MS
        sequence = self._sequence = (self._sequence + 1) & _SEQUENCE_MASK
        # A clock that goes back must not put an attempt before the one that it repeats; neither must the low bits,
        # which begin again at 0 in the middle of a millisecond.
        if sequence == 0:
            self._last_ms += 1
        self._last_ms = max(self._last_ms, now_ms)
        return self._last_ms << SEQUENCE_BITS | sequence
