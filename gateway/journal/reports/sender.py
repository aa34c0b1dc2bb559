"""Reports of one process: entries are collected for a second, and sent as one message.

Nothing here is waited for. While the broker is away, encoded reports are kept in bounded memory, the oldest go first;
what is left when the process ends is sent within a second, or lost.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog

from gateway.journal.entry import Entry
from gateway.journal.reports import Carrier, Heartbeat, Report, encode_report
from gateway.journal.reports.ids import EntryIds

BATCH_SIZE = 200
"""Entries in one report at most."""

BATCH_DELAY = 1.0
"""Seconds that an entry waits for others at most."""

HEARTBEAT_INTERVAL = 10.0
"""Seconds between two heartbeats."""

_MAX_WAITING = 8 * 1024**2
"""Bytes of encoded reports that wait while the broker is away, some 25,000 entries. Beyond that the oldest are dropped."""

_FIRST_DELAY, _MAX_DELAY = 1.0, 30.0
"""Seconds before a report is sent again that could not be sent; the delay doubles with each failure."""

_END_TIMEOUT = 1.0
"""Seconds that the end of a process waits for its last report."""

log = structlog.get_logger()


class Reports:
    """Sends what one process did. :meth:`send` never raises and never waits; use it on the event loop of :meth:`start`.

    Args:
        carrier: Carries the reports to the queue.
        ids: Makes the ids of the entries; by default by the clock.

    Attributes:
        gateway: The host, as entries name it.
        next_id: Returns the id for the next entry.
        dropped: The number of entries that were dropped, because the broker was away for long or the process ended.
    """

    def __init__(self, carrier: Carrier, ids: EntryIds | None = None) -> None:
        self.gateway = socket.gethostname()
        self.next_id = (ids or EntryIds()).next
        self.dropped = 0
        self._carrier = carrier
        self._entries: list[Entry] = []
        self._waiting: deque[tuple[bytes, int]] = deque()  # encoded, each with its number of entries
        self._waiting_size = 0
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()  # nothing waits, or it cannot be sent at the moment
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._heartbeat: Callable[[], Heartbeat] | None = None

    async def start(self, heartbeat: Callable[[], Heartbeat] | None = None) -> None:
        """Begin to send, with a heartbeat now and every few seconds if there is one. A server that is away is no error."""
        self._heartbeat = heartbeat
        self._tasks = [asyncio.create_task(self._deliver(), name="sending reports")]
        if heartbeat is not None:
            self._tasks.append(asyncio.create_task(self._beat(heartbeat), name="sending heartbeats"))

    def send(self, entry: Entry) -> None:
        """Send an entry soon, together with others."""
        self._entries.append(entry)
        if len(self._entries) >= BATCH_SIZE:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_DELAY, self._flush)

    async def stop(self) -> None:
        """Send what is left, for a second at most, and release all resources."""
        self._flush()
        if self._heartbeat is not None:
            self._enqueue(Report(heartbeats=[msgspec.structs.replace(self._heartbeat(), has_ended=True)]))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_TIMEOUT):
                    await self._settled.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.dropped += sum(count for _, count in self._waiting)
            if self.dropped:
                log.warning("reports dropped", entries=self.dropped)
            with suppress(OSError):  # TimeoutError is one
                async with asyncio.timeout(_END_TIMEOUT):
                    await self._carrier.stop()

    def _flush(self) -> None:
        """Encode the entries that were collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._entries:
            entries, self._entries = self._entries, []
            self._enqueue(Report(entries))

    def _enqueue(self, report: Report) -> None:
        try:
            body = encode_report(report)
        except ValueError:  # a text with a lone surrogate, which is no UTF-8; see gateway.journal.entry.cut
            self.dropped += len(report.entries)
            return
        self._waiting.append((body, len(report.entries)))
        self._waiting_size += len(body)
        while self._waiting_size > _MAX_WAITING:
            self.dropped += self._take()
        self._arrived.set()
        self._settled.clear()

    def _take(self) -> int:
        """Remove the oldest report; return its number of entries."""
        body, count = self._waiting.popleft()
        self._waiting_size -= len(body)
        return count

    async def _beat(self, heartbeat: Callable[[], Heartbeat]) -> None:
        while True:
            self._enqueue(Report(heartbeats=[heartbeat()]))
            await asyncio.sleep(HEARTBEAT_INTERVAL)

    async def _deliver(self) -> None:
        """Send each report in turn; wait after a failure, longer each time."""
        delay, failure = _FIRST_DELAY, ""
        await self._carrier.start()
        while True:
            while not self._waiting:
                self._settled.set()
                self._arrived.clear()
                await self._arrived.wait()
            sending = self._waiting[0]
            try:
                await self._carrier.send(sending[0])
            except Exception as error:  # noqa: BLE001 -- a report is never worth the process
                if str(error) != failure:  # logged once, not at every attempt
                    log.warning("reports wait", cause=str(error) or type(error).__name__)
                failure = str(error)
                self._settled.set()
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
                delay = min(delay * 2, _MAX_DELAY)
                continue
            delay, failure = _FIRST_DELAY, ""
            if self._waiting and self._waiting[0] is sending:  # else it was dropped meanwhile, to make room
                self._take()
