"""Rate limits that hold over all processes of all gateways.

Each process counts the verified events of a provider in a bucket of its own, as it does without others. It reports
them to the bucket that all share a moment later, many at a time, and sets its own to what is left there. So no request waits
for an answer, and a limit costs one command in :data:`_REPORT_DELAY`, however many events come.

The limit may be exceeded by what arrives at the other processes between two reports. While the shared buckets are away,
each process has the whole rate; what it counted then is not charged later, or a long outage would end in a long refusal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from typing_extensions import override

from gateway.claims.buckets import SharedBuckets
from gateway.signatures.units import EventRate
from gateway.transport.token_bucket import TokenBucket

_REPORT_DELAY = 0.02
"""Seconds that an event waits at most to be reported: a fiftieth of the shortest period of a rate."""


class SharedTokenBucket(TokenBucket):
    """A process's own view of a bucket that all share.

    Args:
        name: The name of the shared bucket.
        rate: Its capacity in events, and the seconds in which that many are refilled.
        clock: Seconds on a monotonic clock.
        on_spent: Called when there is something to report, after there was nothing.

    Attributes:
        name: The name of the shared bucket.
        rate: The rate.
        unreported: The tokens that were taken since the last report.
    """

    def __init__(
        self, name: str, rate: EventRate, clock: Callable[[], float], on_spent: Callable[[], None]
    ) -> None:
        super().__init__(rate, clock)
        self.name, self.rate = name, rate
        self.unreported = 0
        self._on_spent = on_spent

    @override
    def take(self) -> None:
        super().take()
        self.unreported += 1
        if self.unreported == 1:
            self._on_spent()

    async def report(self, buckets: SharedBuckets) -> None:
        """Charge what was taken to the shared bucket, and take its level over.

        Raises:
            OSError: The shared bucket cannot be reached; this one goes on by itself.
        """
        taken, self.unreported = self.unreported, 0
        until_full = await buckets.charge(self.name, taken / self._per_second)
        self._level = self._capacity - until_full * self._per_second - self.unreported
        self._filled_at = self._clock()


class SharedLimits:
    """Keeps the buckets of a process in step with those that all share.

    Args:
        buckets: The buckets that all share.
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, buckets: SharedBuckets, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = buckets
        self._clock = clock
        self._own: dict[str, SharedTokenBucket] = {}
        self._is_due = asyncio.Event()
        self._reporting: asyncio.Task[None] | None = None

    @property
    def unavailable_reason(self) -> str:
        """Return why each process counts alone at the moment; empty if all count together."""
        return self._buckets.unavailable_reason

    def bucket_of(self, name: str, rate: EventRate) -> TokenBucket:
        """Return this process's bucket for the limit of a provider: the one that it has, unless the rate is another."""
        bucket = self._own.get(name)
        if bucket is None or bucket.rate != rate:
            bucket = self._own[name] = SharedTokenBucket(name, rate, self._clock, self._is_due.set)
        return bucket

    async def start(self) -> None:
        """Start reporting."""
        await self._buckets.start()
        self._reporting = asyncio.create_task(self._keep_reporting(), name="shared limits")

    async def reload_certificates(self) -> None:
        """Connect anew if the files of TLS have changed."""
        await self._buckets.reload_certificates()

    async def stop(self) -> None:
        """Stop reporting."""
        if self._reporting:
            self._reporting.cancel()
            with suppress(asyncio.CancelledError):
                await self._reporting
        await self._buckets.stop()

    async def _keep_reporting(self) -> None:
        while True:
            await self._is_due.wait()
            await asyncio.sleep(_REPORT_DELAY)
            self._is_due.clear()
            reports = [bucket.report(self._buckets) for bucket in self._own.values() if bucket.unreported]
            # A report that fails is seen in unavailable_reason; the next event begins another.
            await asyncio.gather(*reports, return_exceptions=True)
