"""How reports get into the journal, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from gateway.journal.entry import Entry, Kind
from gateway.journal.memory import MemoryJournal
from gateway.journal.query import Query
from gateway.journal.reports import Heartbeat, Report, ReportSource, encode_report
from gateway.journal.reports.memory import MemoryReports
from gateway.journal.reports.receiver import drain_reports, receive_reports
from gateway.journal.workers.memory import MemoryWorkers
from support.waiting import wait_until_async


def entry(number: int) -> Entry:
    """Return an entry of now."""
    return Entry(number, Kind.HANDLED, "handled", event_id=f"evt_{number}")


def heartbeat(**fields: object) -> Heartbeat:
    """Return a heartbeat of now."""
    now = time.time()
    known = {"queue": "agent", "host": "a", "pid": 1, "version": "1", "at": now, "started_at": now}
    return Heartbeat(**{**known, **fields})  # type: ignore[arg-type]


class StubbornJournal(MemoryJournal):
    """A journal that cannot be written for a while."""

    failures = 2

    @override
    def append(self, entries: Sequence[Entry]) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError("no space left on device")
        return super().append(entries)


async def test_draining_puts_all_reports_into_the_journal() -> None:
    """Entries, heartbeats, and what is no report at all; a second time there is nothing."""
    queue, journal, workers = MemoryReports(), MemoryJournal(), MemoryWorkers()
    for number in range(1, 50):
        await queue.send(encode_report(Report([entry(number)], [heartbeat(pid=number)])))
    await queue.send(b"nonsense")

    assert await drain_reports(queue.open, journal, workers) == 49
    assert await drain_reports(queue.open, journal, workers) == 0
    assert len(journal.find(Query(), limit=100).entries) == 49
    assert len(workers.alive(time.time())) == 49
    assert not queue.reports


async def test_reports_wait_for_a_journal_that_cannot_be_written() -> None:
    """They are acknowledged when they are in it, once."""
    queue, journal, workers = MemoryReports(), StubbornJournal(), MemoryWorkers()
    await queue.send(encode_report(Report([entry(1)])))
    receiving = asyncio.create_task(receive_reports(queue.open, journal, workers))
    await wait_until_async(lambda: not queue.reports)
    receiving.cancel()

    assert [each.id for each in journal.timeline("evt_1")] == [1]
    assert journal.failures == 0


async def test_a_command_is_told_that_the_journal_cannot_be_written() -> None:
    """And the reports stay where they are."""
    queue = MemoryReports()
    await queue.send(encode_report(Report([entry(1)])))

    with pytest.raises(OSError, match="no space left"):
        await drain_reports(queue.open, StubbornJournal(), MemoryWorkers())
    assert queue.reports


async def test_a_broker_that_is_away_is_tried_again() -> None:
    """The console does not end for it."""
    queue, journal, workers = MemoryReports(), MemoryJournal(), MemoryWorkers()
    tries = 0

    @asynccontextmanager
    async def open_source() -> AsyncIterator[ReportSource]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectionError("away")
        async with queue.open() as source:
            yield source

    receiving = asyncio.create_task(receive_reports(open_source, journal, workers))
    await queue.send(encode_report(Report([entry(1)])))
    await wait_until_async(lambda: not queue.reports)
    receiving.cancel()

    assert journal.timeline("evt_1")


async def test_a_heartbeat_of_anybody_is_bounded() -> None:
    """The queue takes what others write: no text is long, and nobody is alive for ever."""
    queue, workers = MemoryReports(), MemoryWorkers()
    odd = heartbeat(queue="q\0" * 1000, host="h\0", at=4e12, pid=2**70, paused="p" * 10_000)
    await queue.send(encode_report(Report([], [odd])))
    await drain_reports(queue.open, MemoryJournal(), workers)
    (found,) = workers.alive(time.time())

    assert len(found.queue.encode()) <= 255
    assert len(found.paused) <= 255
    assert found.host == "h\ufffd"
    assert found.at <= time.time()
    assert 0 <= found.pid < 2**31
