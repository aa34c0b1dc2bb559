"""What a process sends: batches, heartbeats, and what happens when nothing can be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from typing_extensions import override

from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.reports import Carrier, Heartbeat, Report, decode_report
from gateway.journal.reports.ids import EntryIds
from gateway.journal.reports.sender import BATCH_SIZE, Reports
from support.waiting import wait_until_async

NOW = 1_800_000_000.0


class Wire(Carrier):
    """A carrier that keeps what it is given, or fails."""

    def __init__(self, failure: Exception | None = None, *, hangs: bool = False) -> None:
        self.failure = failure
        self.hangs = hangs
        self.reports: list[Report] = []
        self.tries = 0
        self.is_open = False

    @override
    async def start(self) -> None:
        self.is_open = True

    @override
    async def send(self, body: bytes) -> None:
        self.tries += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        self.reports.append(decode_report(body))

    @override
    async def stop(self) -> None:
        self.is_open = False
        if self.hangs:
            await asyncio.Event().wait()

    @property
    def entries(self) -> list[Entry]:
        """Return the entries that arrived."""
        return [entry for report in self.reports for entry in report.entries]


def entry(number: int, detail: str = "") -> Entry:
    """Return an entry."""
    return Entry(number, Kind.HANDLED, "handled", detail=detail)


def heartbeat() -> Heartbeat:
    """Return a heartbeat."""
    return Heartbeat(queue="agent", host="a", pid=1, version="1", at=NOW, started_at=NOW)


async def test_entries_travel_together() -> None:
    """As many as there are after a moment, and no more than a batch."""
    wire = Wire()
    reports = Reports(wire)
    await reports.start()
    for number in range(1, BATCH_SIZE + 4):
        reports.send(entry(number))
    await wait_until_async(lambda: len(wire.reports) == 2)
    await reports.stop()

    assert [len(report.entries) for report in wire.reports] == [BATCH_SIZE, 3]
    assert [each.id for each in wire.entries] == list(range(1, BATCH_SIZE + 4))
    assert not wire.is_open


async def test_the_end_sends_what_is_left_and_a_last_heartbeat() -> None:
    """So that the end of a worker loses nothing, and is known at once."""
    wire = Wire()
    reports = Reports(wire)
    await reports.start(heartbeat)
    await wait_until_async(lambda: len(wire.reports) == 1)
    reports.send(entry(1))
    await reports.stop()

    assert [each.id for each in wire.entries] == [1]
    assert [each.has_ended for report in wire.reports for each in report.heartbeats] == [False, True]


async def test_a_broker_that_is_away_is_tried_again() -> None:
    """Nothing is raised; what waits is sent in order afterwards."""
    wire = Wire(ConnectionError("away"))
    reports = Reports(wire)
    await reports.start()
    reports.send(entry(1))
    await wait_until_async(lambda: wire.tries == 1)
    reports.send(entry(2))
    wire.failure = None
    await wait_until_async(lambda: len(wire.entries) == 2)
    await reports.stop()

    assert [each.id for each in wire.entries] == [1, 2]
    assert reports.dropped == 0


async def test_a_bug_of_a_carrier_ends_nothing() -> None:
    """Any exception counts as a failure to send."""
    wire = Wire(KeyError("a bug"))
    reports = Reports(wire)
    await reports.start()
    reports.send(entry(1))
    await wait_until_async(lambda: wire.tries == 1)
    wire.failure = None
    await wait_until_async(lambda: len(wire.entries) == 1)
    await reports.stop()


async def test_memory_is_bounded_while_the_broker_is_away() -> None:
    """The oldest entries go, and are counted."""
    wire = Wire(ConnectionError("away"))
    reports = Reports(wire)
    await reports.start()
    count = 200 * BATCH_SIZE
    for number in range(1, count + 1):
        reports.send(entry(number, "x" * 500))
    wire.failure = None
    await wait_until_async(lambda: bool(wire.entries) and wire.entries[-1].id == count)
    await reports.stop()

    assert 0 < reports.dropped < count
    assert reports.dropped + len(wire.entries) == count
    assert len(wire.entries) * 500 <= 8 * 1024**2


async def ended(reports: Reports) -> None:
    """Stop, and find that it took no longer than a patient person waits."""
    async with asyncio.timeout(30):
        await reports.stop()


async def test_the_end_does_not_wait_for_a_broker_that_is_away() -> None:
    """Nor for one that answers nothing: what is left is counted as dropped."""
    for wire in (Wire(ConnectionError("away")), Wire(hangs=True)):
        reports = Reports(wire)
        await reports.start(heartbeat)
        reports.send(entry(1))
        await ended(reports)

        assert reports.dropped == 1


async def test_a_text_that_cannot_be_encoded_costs_its_report_alone() -> None:
    """Nothing is raised towards the worker."""
    wire = Wire()
    reports = Reports(wire)
    await reports.start()
    reports.send(entry(1, "\ud800"))
    await reports.stop()

    assert reports.dropped == 1
    assert wire.entries == []


def ids(*moments: float, start: int) -> list[int]:
    """Return an id for each moment."""
    ticking = iter(moments)
    clock: Callable[[], float] = lambda: next(ticking)  # noqa: E731 -- shorter than a function
    made = EntryIds(clock, start)
    return [made.next() for _ in moments]


def test_ids_follow_the_clock_and_never_fall() -> None:
    """Not when it goes back, and not when the low bits begin again."""
    made = ids(NOW, NOW, NOW - 60, NOW + 1, start=(1 << 22) - 3)

    assert made == sorted(set(made))
    assert first_id_at(NOW) <= made[0] < first_id_at(NOW + 0.001)
    assert made[-1] >= first_id_at(NOW + 1)
