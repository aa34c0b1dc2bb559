"""A worker's queue in memory, and the clock by which its events wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from gateway.events.message import ATTEMPTS, FIRST_FAILED_AT
from gateway.worker.queue import Delivery, MessageHeaders


class Clock:
    """Unix seconds that only pass when somebody lets them.

    Attributes:
        now: these.
    """

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """The seconds."""
        return self.now


class MemoryQueue:
    """See :class:`gateway.worker.queue.Queue`.

    Attributes:
        waiting: what comes again later, each with the moment, soonest first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: asyncio.Queue[Delivery] = asyncio.Queue()
        self.waiting: list[tuple[float, Delivery]] = []

    def put(self, delivery: Delivery) -> None:
        """Have it delivered."""
        self._ready.put_nowait(delivery)

    def take_ready(self) -> list[Delivery]:
        """What nobody has received, out of the queue."""
        return [self._ready.get_nowait() for _ in range(self._ready.qsize())]

    def take_due(self) -> list[Delivery]:
        """What has waited long enough, out of what waits."""
        now = self._clock.now
        due = [delivery for moment, delivery in self.waiting if moment <= now]
        self.waiting = [entry for entry in self.waiting if entry[0] > now]
        return due

    async def check(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""

    async def start(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""

    async def stop(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""

    async def receive(self, limit: int) -> list[Delivery]:
        """See :class:`gateway.worker.queue.Queue`."""
        received = [await self._ready.get()]
        while len(received) < limit and not self._ready.empty():
            received.append(self._ready.get_nowait())
        return received

    async def pause(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""

    async def acknowledge(self, delivery: Delivery) -> None:
        """See :class:`gateway.worker.queue.Queue`."""

    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        again = replace(
            delivery,
            attempts=int(headers.get(ATTEMPTS, delivery.attempts)),
            first_failed_at=str(headers.get(FIRST_FAILED_AT, delivery.first_failed_at)),
            returns=0,
        )
        self.waiting.append((self._clock.now + seconds, again))
        self.waiting.sort(key=lambda entry: entry[0])

    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        """See :class:`gateway.worker.queue.Queue`; its outcome says so."""

    async def requeue(self, delivery: Delivery) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        delivery.returns += 1
        self.put(delivery)
