"""Record how attempts ended, in batches. What cannot be written waits in bounded memory until it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from gateway.outbound.store import Record, Store, StoreUnavailable

BATCH_SIZE = 100
"""Attempts that are recorded in one transaction at most."""

MAX_WAITING = 1000
"""Attempts that wait for the database, beyond which none begins."""

_RETRY_DELAY = 0.5
"""Seconds between two attempts to write while the database is away."""

log = structlog.get_logger()


class Recorder:
    """Writes records one batch after another. What ends during a write goes into the next one.

    Args:
        store: Where they are written.
        on_recorded: Called with each batch, and for each of its records whether its lease still held.
    """

    def __init__(self, store: Store, on_recorded: Callable[[Sequence[Record], Sequence[bool]], None]) -> None:
        self._store = store
        self._on_recorded = on_recorded
        self._waiting: list[Record] = []
        self._arrived = asyncio.Event()
        self._is_written = asyncio.Event()
        self._is_written.set()
        self._task: asyncio.Task[None] | None = None
        self.is_failing = False

    @property
    def may_begin(self) -> bool:
        """Whether an attempt that begins now can be recorded."""
        return not self.is_failing and len(self._waiting) < MAX_WAITING

    @property
    def waiting(self) -> int:
        """The records that are not written yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write(), name="recording attempts")

    def put(self, record: Record) -> None:
        """Have a record written soon."""
        self._waiting.append(record)
        self._is_written.clear()
        self._arrived.set()

    async def stop(self, timeout: float) -> None:
        """Write what waits, for ``timeout`` seconds at most. What is left is sent again by the next owner."""
        try:
            async with asyncio.timeout(timeout):
                await self._is_written.wait()
        except TimeoutError:
            log.warning("attempts not recorded", attempts=len(self._waiting))
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._waiting[:BATCH_SIZE]
            try:
                held = await self._store.record(batch)
            except StoreUnavailable as error:
                if not self.is_failing:
                    log.warning("attempts wait for the database", cause=str(error))
                self.is_failing = True
                await asyncio.sleep(_RETRY_DELAY)
                continue
            except Exception:  # if this task ended, nothing would be recorded any more
                log.exception("recording failed", attempts=len(batch))
                self.is_failing = True
                await asyncio.sleep(_RETRY_DELAY)
                continue
            self.is_failing = False
            del self._waiting[: len(batch)]
            if not self._waiting:
                self._arrived.clear()
            self._on_recorded(batch, held)
            if not self._waiting:
                self._is_written.set()
