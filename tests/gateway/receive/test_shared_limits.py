"""Rate limits that all processes of all gateways count together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from gateway.claims.buckets import SharedBuckets
from gateway.receive.access import AccessControl
from gateway.receive.shared_limits import SharedLimits
from gateway.signatures.rejections import Rejection
from gateway.signatures.units import EventRate
from support.waiting import wait_until_async

RATE = EventRate(10, 1.0)
CLIENT = "192.0.2.1"


class Buckets(SharedBuckets):
    """Buckets whose time stands still.

    Attributes:
        until_full: the seconds until a bucket is full again.
        charges: how often one was charged.
        is_away: whether they cannot be reached.
    """

    unavailable_reason = ""

    def __init__(self) -> None:
        self.until_full = 0.0
        self.charges = 0
        self.is_away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @override
    async def start(self) -> None:
        """Do nothing."""

    @override
    async def stop(self) -> None:
        """Do nothing."""

    @override
    async def charge(self, bucket: str, seconds: float) -> float:
        self.charges += 1
        await self.may_answer.wait()
        if self.is_away:
            raise ConnectionError("away")
        self.until_full += seconds
        return self.until_full


def admitted(*processes: AccessControl) -> list[bool]:
    """Send one event to each process; return which of them let it in."""
    found = []
    for process in processes:
        try:
            process.check(CLIENT)
        except Rejection:
            found.append(False)
        else:
            process.count_verified()
            found.append(True)
    return found


@asynccontextmanager
async def processes(buckets: Buckets, count: int = 2) -> AsyncIterator[list[AccessControl]]:
    """Run processes whose own buckets do not refill."""
    limits = [SharedLimits(buckets, lambda: 0.0) for _ in range(count)]
    for each in limits:
        await each.start()
    try:
        yield [AccessControl((), each.bucket_of("acme", RATE)) for each in limits]
    finally:
        for each in limits:
            await each.stop()


async def reported(buckets: Buckets, events: int) -> None:
    """Wait until so many events were charged."""
    await wait_until_async(
        lambda: buckets.until_full == pytest.approx(events / RATE.events), message="all is reported"
    )
    for _ in range(5):  # the answer has to reach the process
        await asyncio.sleep(0)


async def test_what_one_process_accepts_the_others_cannot() -> None:
    """As soon as it has been reported, and the other process has reported too."""
    buckets = Buckets()
    async with processes(buckets) as (one, other):
        assert admitted(*[one] * 9) == [True] * 9
        await reported(buckets, 9)
        assert admitted(other) == [True]
        await reported(buckets, 10)

        assert admitted(other, one) == [False, True]
        await reported(buckets, 11)
        assert admitted(other, one) == [False, False]


async def test_many_events_are_one_report() -> None:
    """However many come at once; those that come while it is under way go with the next."""
    buckets = Buckets()
    async with processes(buckets, 1) as (process,):
        buckets.may_answer.clear()
        admitted(*[process] * 4)
        await wait_until_async(lambda: buckets.charges == 1, message="the report is under way")
        admitted(*[process] * 4)
        buckets.may_answer.set()
        await reported(buckets, 8)

        assert buckets.charges == 2
        assert admitted(*[process] * 3) == [True, True, False]


async def test_while_the_buckets_are_away_each_process_counts_alone() -> None:
    """What was accepted meanwhile is not charged afterwards."""
    buckets = Buckets()
    buckets.is_away = True
    async with processes(buckets) as (one, other):
        assert admitted(*[one] * 11) == [True] * 10 + [False]
        assert admitted(*[other] * 9) == [True] * 9
        await wait_until_async(lambda: buckets.charges == 2, message="both have tried to report")
        buckets.is_away = False
        assert admitted(other) == [True]

        await reported(buckets, 1)
        assert admitted(*[other] * 10) == [True] * 9 + [False]


async def test_nothing_is_reported_while_nothing_comes() -> None:
    """An idle limit costs nothing."""
    buckets = Buckets()
    async with processes(buckets, 1) as (process,):
        admitted(process)
        await reported(buckets, 1)

        assert buckets.charges == 1


async def test_a_reload_keeps_the_bucket_unless_the_rate_is_another() -> None:
    """Else each reload would give the provider its whole rate again."""
    limits = SharedLimits(Buckets())
    bucket = limits.bucket_of("acme", RATE)

    assert limits.bucket_of("acme", RATE) is bucket
    assert limits.bucket_of("acme", EventRate(20, 1.0)) is not bucket
    assert limits.bucket_of("other", RATE) is not bucket
