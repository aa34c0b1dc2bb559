"""Numbers in memory that all workers share: they outlive whoever counted them, and each worker can read all.

Made before the workers are forked. Each worker writes only to a region of its own, so that counting needs no
lock, and a worker that takes the place of a dead one goes on where that one ended.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TypeAlias

from gateway.errors import OperatorError

MAX_RECORDS = 512
"""Providers that a worker can count, those included that a reload has removed."""

_NUMBER = 8  # bytes
_NAME = 64  # bytes; names of providers have at most 63

Numbers: TypeAlias = "memoryview[float]"


class SharedCounters:
    """The regions of all workers, zero at first.

    Args:
        slots: how many workers there are.
        per_worker: how many numbers each has.
        per_provider: how many numbers each has of every provider.

    Attributes:
        regions: one for each worker, by its slot.
    """

    def __init__(self, slots: int, per_worker: int, per_provider: int) -> None:
        record = _NAME + per_provider * _NUMBER
        size = (1 + per_worker) * _NUMBER + MAX_RECORDS * record
        memory = memoryview(mmap.mmap(-1, slots * size))
        self.regions = [
            Region(memory[start : start + size], per_worker, record) for start in range(0, slots * size, size)
        ]


class Region:
    """What one worker writes to.

    Args:
        memory: how many records there are, the worker's numbers, the records.
        per_worker: how many numbers the worker has.
        record: bytes of a record: its name and its numbers.

    Attributes:
        numbers: those of the worker.
    """

    def __init__(self, memory: memoryview, per_worker: int, record: int) -> None:
        first = (1 + per_worker) * _NUMBER
        self._used = memory[:_NUMBER].cast("Q")
        self.numbers: Numbers = memory[_NUMBER:first].cast("d")
        self._records = memory[first:]
        self._size = record

    def of_provider(self, name: str) -> Numbers:
        """The numbers of one provider: those that are there already, or new ones.

        Raises:
            OperatorError: there is no room for another provider.
        """
        for known, numbers in self.records():
            if known == name:
                return numbers
        place = self._used[0]
        if place == MAX_RECORDS:
            raise OperatorError(
                f"the metrics have room for {MAX_RECORDS} providers, those included that were removed since the "
                "start; restart the gateway, or share the providers between two"
            )
        start = place * self._size
        self._records[start : start + _NAME] = name.encode().ljust(_NAME, b"\0")
        self._used[0] = place + 1  # not before the name is whole: others may read it at any moment
        return self._numbers_at(start)

    def records(self) -> Iterator[tuple[str, Numbers]]:
        """The providers that were counted so far, with their numbers."""
        for start in range(0, self._used[0] * self._size, self._size):
            name = bytes(self._records[start : start + _NAME])
            yield name.rstrip(b"\0").decode(), self._numbers_at(start)

    def _numbers_at(self, start: int) -> Numbers:
        return self._records[start + _NAME : start + self._size].cast("d")
