"""The queue of reports in the embedded database: a table of its own, read in order.

A reader does not hide a report from others while it works on it. Two readers may receive the same one, which does no
harm: the journal adds an entry once.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

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
from gateway.transport.embedded import Database

_POLL_INTERVAL = 0.25
"""Seconds between looks for a report: SQLite does not notify other processes."""

_REMOVAL_BATCH_SIZE = 64
"""Old reports that are removed with each new one at most."""


class SqliteCarrier(Carrier):
    """Puts reports into the embedded database.

    Args:
        database: The embedded database.
        clock: Returns Unix seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._is_open = False

    @override
    async def start(self) -> None:
        pass  # opened with the first report: a file that cannot be opened is no error here

    @override
    async def send(self, body: bytes) -> None:
        if not self._is_open:
            await self._database.start()
            self._is_open = True
        try:
            await self._database.run(lambda connection: _add(connection, body, self._clock()))
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    @override
    async def stop(self) -> None:
        if self._is_open:
            self._is_open = False
            await self._database.stop()


def _add(connection: sqlite3.Connection, body: bytes, now: float) -> None:
    """Add a report, and remove some of those that exceed the bounds."""
    # Each row has the bytes before it, as in the archive, so that the size of the table needs no sum.
    row = connection.execute(
        "SELECT starts_at + length(body) FROM reports ORDER BY id DESC LIMIT 1"
    ).fetchone()
    (start,) = row or (0,)
    added = connection.execute(
        "INSERT INTO reports (sent_at, starts_at, body) VALUES (?, ?, ?)", (now, start, body)
    )
    connection.execute(
        "DELETE FROM reports WHERE id IN (SELECT id FROM reports ORDER BY id LIMIT ?) "
        "AND (sent_at < ? OR starts_at < ? OR id <= ?)",
        (
            _REMOVAL_BATCH_SIZE,
            now - MAX_REPORT_AGE,
            start + len(body) - MAX_WAITING_SIZE,
            (added.lastrowid or 0) - MAX_REPORTS,
        ),
    )


@asynccontextmanager
async def open_sqlite_reports(
    database: Database, clock: Callable[[], float] = time.time
) -> AsyncIterator[ReportSource]:
    """Open a reader of the reports in ``database``.

    Raises:
        OSError: The file cannot be opened.
    """
    await database.start()
    try:
        yield _SqliteSource(database, clock)
    finally:
        await database.stop()


class _SqliteSource(ReportSource):
    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._last = 0

    @override
    async def receive(self, wait: float) -> ReceivedReport | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            oldest = self._clock() - MAX_REPORT_AGE
            row = await self._run(
                lambda connection: connection.execute(
                    "SELECT id, body FROM reports WHERE id > ? AND sent_at >= ? ORDER BY id LIMIT 1",
                    (self._last, oldest),  # noqa: B023 -- it runs within this turn
                ).fetchone()
            )
            if row:
                self._last, body = row
                return ReceivedReport(decode_report(body), self._last)
            left = until - loop.time()
            if left <= 0:
                return None
            await asyncio.sleep(min(left, _POLL_INTERVAL))

    @override
    async def acknowledge(self, received: ReceivedReport) -> None:
        await self._run(
            lambda connection: connection.execute("DELETE FROM reports WHERE id = ?", (received.tag,))
        )

    async def _run(self, operation: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            return await self._database.run(operation)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error
