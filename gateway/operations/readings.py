"""One reader at a time of each queue of dead letters, and what it found, kept for a moment.

RabbitMQ shows the messages of a queue to one consumer only: who looks meanwhile sees fewer of them. So within this
process a queue is read by one at a time, and several viewers of a page share one reading. Another process that reads the
queue is not known here; its events are back when it is done.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from gateway.backends import has_embedded_queue, open_dead_letters
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.queues.dead_letters import DeadLetterQueue

MAX_AGE = 5.0
"""Seconds for which a reading serves further viewers. Each reading counts towards RabbitMQ's limit of deliveries."""

BUSY_TIMEOUT = 5.0
"""Seconds to wait for the one that reads the queue now."""

_MAX_KEPT = 64
"""Readings that are kept, so that invented names of queues cannot fill the memory."""

T = TypeVar("T")
Key = tuple[str, ...]


class QueueBusy(OperatorError):
    """Raised when something else in this process works on the queue."""


class _Readings:
    """The readings of one event loop.

    Attributes:
        changing: The queues that events are being taken out of, which may take minutes.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, tuple[float, Any]] = OrderedDict()
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self.changing: set[Key] = set()

    def lock(self, key: Key) -> asyncio.Lock:
        """Return the lock of a key; it lives as long as somebody has it."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    def find(self, key: Key, max_age: float) -> tuple[Any] | None:
        """Return what was found at most ``max_age`` seconds ago, in a tuple; None if nothing was."""
        found = self._kept.get(key)
        return (found[1],) if found and time.monotonic() - found[0] <= max_age else None

    def keep(self, key: Key, value: object) -> None:
        """Keep a reading instead of the oldest one."""
        self._kept[key] = time.monotonic(), value
        self._kept.move_to_end(key)
        while len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)

    def discard(self, place: Key) -> None:
        """Discard the readings of a queue."""
        for key in [key for key in self._kept if key[: len(place)] == place]:
            del self._kept[key]


_readings: WeakKeyDictionary[asyncio.AbstractEventLoop, _Readings] = WeakKeyDictionary()
"""A lock belongs to its event loop; a test has one of its own."""


def _current() -> _Readings:
    return _readings.setdefault(asyncio.get_running_loop(), _Readings())


def _place_of(config: Config, queue: str) -> Key:
    broker = (
        str(config.data_dir)
        if has_embedded_queue(config)
        else " ".join(config.rabbitmq.urls) or config.rabbitmq.url
    )
    return broker, queue


@asynccontextmanager
async def open_letters(
    config: Config, queue: str, target: str | None = None, *, is_changed: bool = False
) -> AsyncIterator[DeadLetterQueue]:
    """Open a queue of dead letters once nobody else in this process has it.

    Args:
        config: The configuration.
        queue: The queue.
        target: A queue that events may be moved to.
        is_changed: Whether events are taken out, after which earlier readings no longer hold.

    Raises:
        QueueBusy: Something else in this process works on the queue.
        OperatorError: The queue does not exist, or the broker cannot be reached, now or later.
    """
    readings, place = _current(), _place_of(config, queue)
    lock = readings.lock(place)
    try:
        await asyncio.wait_for(lock.acquire(), BUSY_TIMEOUT)
    except TimeoutError:
        raise QueueBusy(
            f"{queue} is being worked on; wait until that has ended, or cancel it, and try again"
        ) from None
    try:
        if is_changed:
            readings.changing.add(place)
        async with open_dead_letters(config, queue, target) as letters:
            yield letters
    finally:
        lock.release()
        if is_changed:
            readings.changing.discard(place)
            readings.discard(place)


async def read_shared(config: Config, queue: str, kind: str, read: Callable[[], Awaitable[T]]) -> T:
    """Return what ``read`` finds in a queue, or what it found for somebody else a moment ago.

    While events are being taken out of the queue, return the last reading, however old.

    Args:
        config: The configuration.
        queue: The queue.
        kind: What is read, to tell readings of one queue apart.
        read: Reads the queue, through :func:`open_letters`.

    Raises:
        QueueBusy: Something else works on the queue, and there was no reading before.
        OperatorError: The queue does not exist, or the broker cannot be reached.
    """
    readings, place = _current(), _place_of(config, queue)
    key = (*place, kind)
    lock = readings.lock((*key, "reading"))
    async with lock:
        found = readings.find(key, math.inf if place in readings.changing else MAX_AGE)
        if found is None:
            value = await read()
            readings.keep(key, value)
            return value
        kept: T = found[0]
        return kept
