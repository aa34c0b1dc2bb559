"""Claims in SQLite: the embedded default, durable on one machine."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from typing_extensions import override

from gateway.claims import (
    PENDING,
    Claims,
    ClaimsUnavailable,
    Standing,
    StoreReport,
    call_on_failure,
    done_value,
    ignore_failure,
    standing_alone,
    standing_of,
)
from gateway.transport.embedded import Database, SteadyClock

T = TypeVar("T")

_SWEEP_INTERVAL = 60.0
"""Seconds between two removals of expired claims."""

_SWEEP_BATCH_SIZE = 1000
"""Claims that one removal deletes at most, because the claim of an event waits for it."""


class SqliteClaims(Claims):
    """Claims that all processes on one ``data_dir`` share.

    Args:
        database: The embedded database.
        lease: Seconds that a claim is held at most.
        retention: Seconds that a published event is remembered.
        clock: Unix seconds. A monotonic clock would not do, because claims outlive the process.
    """

    has_been_tried = True

    def __init__(
        self,
        database: Database,
        lease: float = 30,
        retention: float = 345_600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._lease = lease
        self._retention = retention
        self._clock = SteadyClock(clock)
        self._swept_at = 0.0

    @property
    @override
    def unavailable_reason(self) -> str:
        return self._database.unavailable_reason

    @override
    async def start(self) -> None:
        await self._database.start()

    @override
    async def stop(self) -> None:
        await self._database.stop()

    @override
    async def claim(self, key: str, token: str) -> Standing:
        holder = PENDING + token.encode()

        def claim(connection: sqlite3.Connection) -> bytes | None:
            self._sweep(connection)
            return self._take(connection, key, holder, self._lease)

        return standing_of(await self._run(claim), holder)

    @override
    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        value, duration = done_value(content), retention or self._retention
        done = self._database.run(
            lambda connection: self._put(connection, key, value, self._clock.now(connection) + duration)
        )
        call_on_failure(done, on_failure)

    @override
    def release(self, key: str, token: str) -> None:
        parameters = key, PENDING + token.encode()
        released = self._database.run(
            lambda connection: connection.execute(
                "DELETE FROM claims WHERE key = ? AND value = ?", parameters
            )
        )
        call_on_failure(released, ignore_failure)

    @override
    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        holder = PENDING + token.encode()

        def renew(connection: sqlite3.Connection) -> bool:
            found = self._take(connection, key, holder, self._lease)
            if found == holder:
                self._put(connection, key, holder, self._clock.now(connection) + self._lease)
            return found in {None, holder}

        def check(renewed: asyncio.Future[bool]) -> None:
            if not renewed.cancelled() and renewed.exception() is None and not renewed.result():
                on_loss()

        self._database.run(renew).add_done_callback(check)

    @override
    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:

        def check(marked: asyncio.Future[bytes | None]) -> None:
            is_known = not marked.cancelled() and marked.exception() is None
            if is_known and marked.result() not in (None, value):
                on_other()

        duration = retention or self._retention
        marked = self._database.run(lambda connection: self._take(connection, key, value, duration))
        marked.add_done_callback(check)

    @override
    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        return StoreReport()

    @override
    async def look_up(self, key: str) -> Standing | None:
        return standing_alone(
            await self._run(lambda connection: self._get(connection, key, self._clock.now(connection)))
        )

    @override
    async def forget(self, key: str) -> bool:
        return await self._run(
            lambda connection: connection.execute("DELETE FROM claims WHERE key = ?", (key,)).rowcount > 0
        )

    def _take(self, connection: sqlite3.Connection, key: str, value: bytes, duration: float) -> bytes | None:
        """Put ``value`` under ``key`` if it is free, and return the value that it had."""
        now = self._clock.now(connection)
        found = self._get(connection, key, now)
        if found is None:
            self._put(connection, key, value, now + duration)
        return found

    def _get(self, connection: sqlite3.Connection, key: str, now: float) -> bytes | None:
        row = connection.execute(
            "SELECT value FROM claims WHERE key = ? AND expires_at > ?", (key, now)
        ).fetchone()
        return row[0] if row else None

    def _put(self, connection: sqlite3.Connection, key: str, value: bytes, expires_at: float) -> None:
        connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (key, value, expires_at))

    def _sweep(self, connection: sqlite3.Connection) -> None:
        now = self._clock.now(connection)
        if now - self._swept_at < _SWEEP_INTERVAL:
            return
        swept = connection.execute(
            "DELETE FROM claims WHERE key IN (SELECT key FROM claims WHERE expires_at <= ? LIMIT ?)",
            (now, _SWEEP_BATCH_SIZE),
        )
        if swept.rowcount < _SWEEP_BATCH_SIZE:  # else there is more: go on with the next claim
            self._swept_at = now

    async def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.run(operation)
        except sqlite3.Error as error:
            raise ClaimsUnavailable(str(error)) from error
