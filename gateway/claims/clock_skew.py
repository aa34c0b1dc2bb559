"""Compares our clock with the deduplication store's, and reports what is wrong with the store.

Verification needs the right time. With a wrong clock every request whose signature covers a timestamp is refused with
401, which tells the provider that the fault is its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from gateway.claims import Claims, ClaimsUnavailable, StoreReport

_CHECK_INTERVAL = 60.0
"""Seconds between two comparisons."""

_RETRY_DELAY = 1.0
"""Seconds until the next comparison when the store is away."""

_WARNING_SKEW = 5.0
"""Seconds of difference that are logged: more than a network and a busy machine explain."""

_MAX_SKEW = 60.0
"""Seconds of difference that make us not ready. A provider's clock may be as wrong the other way, and the usual
tolerance of a signed timestamp is 300 s."""

log = structlog.get_logger()


class ClockWatch:
    """Inspects the store as soon as it is there, and every minute from then on.

    Args:
        claims: The store.
        clock: Our clock, in Unix seconds.

    Attributes:
        offset: Seconds by which our clock was ahead of the store's at the last comparison; None before the first.
    """

    def __init__(self, claims: Claims, clock: Callable[[], float] = time.time) -> None:
        self.offset: float | None = None
        self._claims = claims
        self._clock = clock
        self._logged: set[str] = set()
        self._was_skewed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def unavailable_reason(self) -> str:
        """Return why signatures cannot be verified at the moment; empty if they can."""
        return self._difference() if self._is_off_by(_MAX_SKEW) else ""

    async def start(self) -> None:
        """Start comparing in the background."""
        self._task = asyncio.create_task(self._watch(), name="clock watch")

    async def stop(self) -> None:
        """Stop comparing."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def check(self) -> None:
        """Inspect the store now.

        Raises:
            ClaimsUnavailable: The store did not answer. The last known offset stays valid.
        """
        self._note(await self._claims.inspect(self._clock))

    async def _watch(self) -> None:
        while True:
            try:
                await self.check()
                delay = _CHECK_INTERVAL
            except ClaimsUnavailable:
                delay = _RETRY_DELAY
            except Exception:  # if this task ended, the last offset would be believed for ever
                log.exception("cannot compare the clocks")
                delay = _CHECK_INTERVAL
            await asyncio.sleep(delay)

    def _note(self, report: StoreReport) -> None:
        self.offset = report.clock_offset
        is_skewed = self._is_off_by(_WARNING_SKEW)
        if is_skewed and not self._was_skewed:
            log.warning("clocks differ", cause=self._difference())
        self._was_skewed = is_skewed
        for warning in report.warnings:
            if warning not in self._logged:
                self._logged.add(warning)
                log.warning("deduplication store", cause=warning)

    def _is_off_by(self, seconds: float) -> bool:
        return self.offset is not None and abs(self.offset) > seconds

    def _difference(self) -> str:
        offset = self.offset or 0.0
        return f"the clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the deduplication store's"
