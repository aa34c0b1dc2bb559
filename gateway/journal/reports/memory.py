"""The queue of reports in memory, for tests."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from typing_extensions import override

from gateway.journal.reports import (
    MAX_REPORT_AGE,
    MAX_REPORTS,
    MAX_WAITING_SIZE,
    Carrier,
    ReceivedReport,
    ReportSource,
    decode_report,
)


class MemoryReports(Carrier):
    """A queue of reports, which is its own carrier.

    Args:
        clock: Returns Unix seconds.

    Attributes:
        reports: The moment and the body of each report, by its number.
        arrived: Set when a report has arrived.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last = 0
        self._size = 0
        self.reports: OrderedDict[int, tuple[float, bytes]] = OrderedDict()
        self.arrived = asyncio.Event()

    @override
    async def start(self) -> None:
        pass

    @override
    async def send(self, body: bytes) -> None:
        self._last += 1
        self.reports[self._last] = self._clock(), body
        self._size += len(body)
        while len(self.reports) > MAX_REPORTS or self._size > MAX_WAITING_SIZE:
            self.remove(next(iter(self.reports)))
        self.arrived.set()

    @override
    async def stop(self) -> None:
        pass

    def expire(self) -> None:
        """Drop what is too old."""
        oldest = self._clock() - MAX_REPORT_AGE
        while self.reports and next(iter(self.reports.values()))[0] < oldest:
            self.remove(next(iter(self.reports)))

    def remove(self, number: int) -> None:
        """Remove a report, if it is still there."""
        _, body = self.reports.pop(number, (0.0, b""))
        self._size -= len(body)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ReportSource]:
        """Open a reader of the queue."""
        yield _MemorySource(self)


class _MemorySource(ReportSource):
    def __init__(self, queue: MemoryReports) -> None:
        self._queue = queue
        self._last = 0

    @override
    async def receive(self, wait: float) -> ReceivedReport | None:
        try:
            while (received := self._next()) is None:
                self._queue.arrived.clear()
                async with asyncio.timeout(wait):
                    await self._queue.arrived.wait()
        except TimeoutError:
            return None
        return received

    def _next(self) -> ReceivedReport | None:
        self._queue.expire()
        for number, (_, body) in self._queue.reports.items():
            if number > self._last:
                self._last = number
                return ReceivedReport(decode_report(body), number)
        return None

    @override
    async def acknowledge(self, received: ReceivedReport) -> None:
        assert isinstance(received.tag, int)  # noqa: S101 -- of this source
        self._queue.remove(received.tag)
