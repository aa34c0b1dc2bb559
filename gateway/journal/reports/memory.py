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
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last = 0
        self.reports: OrderedDict[int, tuple[float, bytes]] = OrderedDict()
        self.arrived = asyncio.Event()

    @override
    async def start(self) -> None:
        pass

    @override
    async def send(self, body: bytes) -> None:
        self._last += 1
        self.reports[self._last] = self._clock(), body
        while (
            len(self.reports) > MAX_REPORTS
            or sum(len(body) for _, body in self.reports.values()) > MAX_WAITING_SIZE
        ):
            self.reports.popitem(last=False)
        self.expire()
        self.arrived.set()

    @override
    async def stop(self) -> None:
        pass

    def expire(self) -> None:
        """Drop what is too old."""
        oldest = self._clock() - MAX_REPORT_AGE
        while self.reports and next(iter(self.reports.values()))[0] < oldest:
            self.reports.popitem(last=False)

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
            async with asyncio.timeout(wait):
                while True:
                    self._queue.expire()
                    for number, (_, body) in self._queue.reports.items():
                        if number > self._last:
                            self._last = number
                            return ReceivedReport(decode_report(body), number)
                    self._queue.arrived.clear()
                    await self._queue.arrived.wait()
        except TimeoutError:
            return None

    @override
    async def acknowledge(self, received: ReceivedReport) -> None:
        assert isinstance(received.tag, int)  # noqa: S101 -- of this source
        self._queue.reports.pop(received.tag, None)
