"""Watches our clock against the claim store's, and what the store says of itself.

Verification needs the right time: with a wrong clock every delivery whose signature covers a moment is refused, and
the answers are all 401, which tells a sender that it is its own fault.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from gateway.claims import Claims, ClaimsUnavailable, StoreReport

_CHECK_EVERY = 60.0
_ASK_AGAIN_AFTER = 1.0  # when the store is not there
_NOTABLE = 5.0  # seconds; more than a network and a busy machine explain
_UNUSABLE = 60.0  # seconds; a sender's clock may be as wrong the other way, and the tolerance is 300

log = structlog.get_logger()


class ClockWatch:
    """Asks the store as soon as it is there, and every minute from then on.

    Args:
        claims: the store.
        clock: our clock, in Unix seconds.

    Attributes:
        offset: seconds that our clock is ahead of the store's, when they were last compared; None when they never were.
    """

    def __init__(self, claims: Claims, clock: Callable[[], float] = time.time) -> None:
        self.offset: float | None = None
        self._claims = claims
        self._clock = clock
        self._said: set[str] = set()
        self._was_notable = False
        self._task: asyncio.Task[None] | None = None

    @property
    def unavailable_reason(self) -> str:
        """Why signatures cannot be judged at the moment; empty when they can."""
        return self._difference() if self._is_off_by(_UNUSABLE) else ""

    async def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(), name="clock watch")

    async def stop(self) -> None:
        """Watch no more."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def check(self) -> None:
        """Ask now.

        Raises:
            ClaimsUnavailable: the store did not answer; what was known is still held to be true.
        """
        self._note(await self._claims.inspect(self._clock))

    async def _watch(self) -> None:
        while True:
            try:
                await self.check()
                pause = _CHECK_EVERY
            except ClaimsUnavailable:
                pause = _ASK_AGAIN_AFTER
            except Exception:  # a watch that ended would believe the last answer for ever
                log.exception("cannot compare the clocks")
                pause = _CHECK_EVERY
            await asyncio.sleep(pause)

    def _note(self, report: StoreReport) -> None:
        self.offset = report.clock_offset
        if self._is_off_by(_NOTABLE) and not self._was_notable:
            log.warning("clocks differ", cause=self._difference())
        self._was_notable = self._is_off_by(_NOTABLE)
        for warning in report.warnings:
            if warning not in self._said:
                self._said.add(warning)
                log.warning("claim store", cause=warning)

    def _is_off_by(self, seconds: float) -> bool:
        return self.offset is not None and abs(self.offset) > seconds

    def _difference(self) -> str:
        offset = self.offset or 0.0
        return f"the clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the claim store's"
