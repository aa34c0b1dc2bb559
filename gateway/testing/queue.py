"""A worker's queue in memory, and the clock by which its messages wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from typing_extensions import override

from gateway.events.message import ATTEMPTS, FIRST_FAILED_AT
from gateway.worker.queue import Delivery, MessageHeaders, Queue


class Clock:
    """A clock that stands still until a test moves it.

    Attributes:
        now: Unix seconds.
    """

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Return :attr:`now`."""
        return self.now


class MemoryQueue(Queue):
    """A worker's queue in memory.

    Attributes:
        waiting: The delayed deliveries, each with the time when it is due, soonest first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: asyncio.Queue[Delivery] = asyncio.Queue()
        self.waiting: list[tuple[float, Delivery]] = []

    def put(self, delivery: Delivery) -> None:
        """Add a delivery."""
        self._ready.put_nowait(delivery)

    def take_ready(self) -> list[Delivery]:
        """Remove and return the deliveries that nobody has received."""
        return [self._ready.get_nowait() for _ in range(self._ready.qsize())]

    def take_due(self) -> list[Delivery]:
        """Remove and return the delayed deliveries that are due."""
        now = self._clock.now
        due = [delivery for moment, delivery in self.waiting if moment <= now]
        self.waiting = [entry for entry in self.waiting if entry[0] > now]
        return due

    @override
    async def check(self) -> None:
        pass

    @override
    async def start(self) -> None:
        pass

    @override
    async def stop(self) -> None:
        pass

    @override
    async def receive(self, limit: int) -> list[Delivery]:
        received = [await self._ready.get()]
        while len(received) < limit and not self._ready.empty():
            received.append(self._ready.get_nowait())
        return received

    @override
    async def pause(self) -> None:
        pass

    @override
    async def acknowledge(self, delivery: Delivery) -> None:
        pass

    @override
    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        again = replace(
            delivery,
            attempts=int(headers.get(ATTEMPTS, delivery.attempts)),
            first_failed_at=str(headers.get(FIRST_FAILED_AT, delivery.first_failed_at)),
            redeliveries=0,
        )
        self.waiting.append((self._clock.now + seconds, again))
        self.waiting.sort(key=lambda entry: entry[0])

    @override
    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        pass  # MemoryWorker.dead has it, from the settlement

    @override
    async def requeue(self, delivery: Delivery) -> None:
        delivery.redeliveries += 1
        self.put(delivery)
