"""Numbers in memory that all processes share. They outlive the process that counted them.

The memory is allocated before the processes are forked. Each process writes only to its own region, so that counting
needs no lock, and every process can read all regions. A process that replaces a dead one goes on with its region.
The memory is a file without a name, so that a program that was not forked, the console, can map it by its descriptor.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeAlias

from gateway.errors import OperatorError

MAX_PROVIDERS = 512
"""Providers that a process can count, including those that a reload removed: mapped memory cannot grow after a fork."""

_NUMBER_SIZE = 8
"""Bytes of a number, a C double."""

_NAME_SIZE = 64
"""Bytes of the name of a provider, which has at most 63; a multiple of 8, so that the numbers behind it are aligned."""

PRIVATE = -1
"""Stands for the descriptor of memory that only this process and those that it forks can see. It takes no descriptor."""

Numbers: TypeAlias = "memoryview[float]"


def allocate(owner: object, name: str, size: int) -> int:
    """Return the descriptor of ``size`` bytes of memory, all zero, that other programs can map as well.

    It is closed when its owner is no longer used.

    Args:
        owner: What uses the memory.
        name: What the memory is for, as ``/proc`` shows it.
        size: The number of bytes.
    """
    descriptor = _allocate(name, size)
    weakref.finalize(owner, os.close, descriptor)
    return descriptor


def _allocate(name: str, size: int) -> int:
    with suppress(AttributeError, PermissionError):  # another system than Linux, or a sandbox
        descriptor = os.memfd_create(f"gateway-{name}")
        os.ftruncate(descriptor, size)
        return descriptor
    with tempfile.TemporaryFile(prefix=f"gateway-{name}-", buffering=0) as file:  # has no name, and mode 0600
        file.write(bytes(size))  # now, because a page that a full disk cannot hold later ends the process
        return os.dup(file.fileno())


def attach(descriptor: int, size: int) -> memoryview:
    """Map memory that :func:`allocate` has made, in this program or in another one; or new memory for :data:`PRIVATE`.

    Raises:
        ValueError: The memory has another size.
    """
    if descriptor != PRIVATE and (found := os.fstat(descriptor).st_size) != size:
        raise ValueError(f"{found} bytes of shared memory, not {size}")
    return memoryview(mmap.mmap(descriptor, size))


class SharedCounters:
    """The regions of all processes, zero at first.

    Args:
        slots: The number of processes.
        per_process: How many numbers each process has.
        per_provider: How many numbers each process has for every provider.
        descriptor: Memory that another program has made for the same numbers; by default it is made here.

    Attributes:
        descriptor: The descriptor of the memory.
        regions: The region of each process, by its slot.

    Raises:
        ValueError: The memory at ``descriptor`` was not made for these numbers.
    """

    def __init__(
        self, slots: int, per_process: int, per_provider: int, descriptor: int | None = None
    ) -> None:
        record_size = _NAME_SIZE + per_provider * _NUMBER_SIZE
        size = (1 + per_process) * _NUMBER_SIZE + MAX_PROVIDERS * record_size
        self.descriptor = allocate(self, "counters", slots * size) if descriptor is None else descriptor
        memory = attach(self.descriptor, slots * size)
        self.regions = [
            Region(memory[start : start + size], per_process, record_size)
            for start in range(0, slots * size, size)
        ]


class Region:
    """The memory that one process writes to.

    Args:
        memory: The number of records, the numbers of the process, and the records, one a provider.
        per_process: How many numbers the process has.
        record_size: Bytes of a record: its name and its numbers.

    Attributes:
        numbers: The numbers of the process.
    """

    def __init__(self, memory: memoryview, per_process: int, record_size: int) -> None:
        first = (1 + per_process) * _NUMBER_SIZE
        self._used = memory[:_NUMBER_SIZE].cast("Q")
        self.numbers: Numbers = memory[_NUMBER_SIZE:first].cast("d")
        self._records = memory[first:]
        self._record_size = record_size

    def of_provider(self, name: str) -> Numbers:
        """Return the numbers of a provider, and add a record for it if there is none.

        Raises:
            OperatorError: There is no room for another provider.
        """
        for known, numbers in self.records():
            if known == name:
                return numbers
        used = self._used[0]
        if used == MAX_PROVIDERS:
            raise OperatorError(
                f"metrics have room for {MAX_PROVIDERS} providers, including those removed since the start; restart "
                "the gateway, or divide the providers between two gateways"
            )
        start = used * self._record_size
        self._records[start : start + _NAME_SIZE] = name.encode().ljust(_NAME_SIZE, b"\0")
        self._used[0] = (
            used + 1
        )  # after the name is complete, because other processes may read it at any moment
        return self._numbers_at(start)

    def records(self) -> Iterator[tuple[str, Numbers]]:
        """Yield the name and the numbers of each provider that was ever counted."""
        for start in range(0, self._used[0] * self._record_size, self._record_size):
            name = bytes(self._records[start : start + _NAME_SIZE])
            yield name.rstrip(b"\0").decode(), self._numbers_at(start)

    def _numbers_at(self, start: int) -> Numbers:
        return self._records[start + _NAME_SIZE : start + self._record_size].cast("d")
