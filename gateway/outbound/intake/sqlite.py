"""The queues of the way out in the embedded database.

One process takes from a queue, because others would overtake what it has not acknowledged. It holds a lock that ends with it, so
that its successor gets at once, and first, what it had when it was killed.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from typing_extensions import override

from gateway.outbound.intake import OUTBOUND_SUFFIX, VIOLATIONS_HEADER, Arrival, Intake, needed_patterns
from gateway.publishers import QUARANTINE_SUFFIX, UNROUTED_SUFFIX
from gateway.publishers.sqlite import declare
from gateway.queues.embedded import QueuedMessage, SqliteConsumer
from gateway.transport.embedded import Database
from gateway.transport.file_lock import lock_file
from gateway.transport.private_files import make_private_folder

_POLL_DELAY = 0.02
"""Seconds between two looks into an empty queue, since SQLite does not notify other processes: 0.4 % of a core (2026-11-30)."""

_VISIBILITY_TIMEOUT = 30.0
"""Seconds for which what was received is hidden; it is extended meanwhile."""


@asynccontextmanager
async def open_sqlite_intake(database: Database, exchange: str) -> AsyncIterator[Intake]:
    """Open the queue of the way out for one exchange, which is declared with it.

    Raises:
        OSError: The file cannot be opened, or another process takes from the queue.
    """
    queue = exchange + OUTBOUND_SUFFIX
    make_private_folder(database.path.parent)
    lock = lock_file(database.path.with_name(f"{quote(queue, safe='')}.lock"))
    if lock is None:
        raise OSError(f"another process takes events from {queue}")
    try:
        async with _open(database, queue, exchange) as intake:
            yield intake
    finally:
        os.close(lock)


@asynccontextmanager
async def _open(database: Database, queue: str, exchange: str) -> AsyncIterator[Intake]:
    consumer = SqliteConsumer(database, queue, visibility_timeout=_VISIBILITY_TIMEOUT)
    try:
        await consumer.start()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
    intake = _SqliteIntake(database, consumer, exchange)
    extending = asyncio.create_task(intake.keep_invisible(), name=f"extending the visibility in {queue}")
    try:
        await intake.declare()
        await intake.reclaim()
        yield intake
    finally:
        extending.cancel()
        with suppress(asyncio.CancelledError):
            await extending
        with suppress(sqlite3.Error, OSError):
            await intake.give_back()
        await consumer.stop()


class _SqliteIntake(Intake):
    def __init__(self, database: Database, consumer: SqliteConsumer, exchange: str) -> None:
        self._database = database
        self._consumer = consumer
        self._exchange = exchange
        self._unsettled: dict[int, QueuedMessage] = {}

    async def declare(self) -> None:
        """Declare the queues beside it."""
        quarantine = self._exchange + QUARANTINE_SUFFIX
        await self._run(lambda connection: declare(connection, self._exchange + UNROUTED_SUFFIX, []))
        await self._run(lambda connection: declare(connection, quarantine, [(quarantine, "#")]))

    async def reclaim(self) -> None:
        """Get what a process had received that has ended."""
        try:
            await self._consumer.reclaim()
        except sqlite3.Error as error:
            raise OSError(str(error)) from error

    @override
    async def bind(self, patterns: Collection[str]) -> None:
        needed, queue = needed_patterns(patterns), self._exchange + OUTBOUND_SUFFIX

        def bind(connection: sqlite3.Connection) -> None:
            rows = connection.execute(
                "SELECT exchange, pattern FROM bindings WHERE queue = ?", (queue,)
            ).fetchall()
            gone = [(*row, queue) for row in rows if row[0] != self._exchange or row[1] not in needed]
            connection.executemany(
                "DELETE FROM bindings WHERE exchange = ? AND pattern = ? AND queue = ?", gone
            )
            declare(connection, queue, [(self._exchange, pattern) for pattern in sorted(needed)])

        await self._run(bind)

    @override
    async def receive(self, limit: int) -> list[Arrival]:
        while True:
            taking = asyncio.ensure_future(self._take(limit))
            try:
                messages = await asyncio.shield(taking)
            except asyncio.CancelledError:
                await asyncio.wait([taking])  # it may take messages yet, which have to be given back
                raise
            if messages:
                return [Arrival(each.body, each.routing_key, each) for each in messages]
            await asyncio.sleep(_POLL_DELAY)

    async def _take(self, limit: int) -> list[QueuedMessage]:
        try:
            messages = await self._consumer.receive(limit)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error
        self._unsettled.update((each.tag, each) for each in messages)
        return messages

    @override
    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        messages = [_message_of(each) for each in arrivals]
        # Those that became visible meanwhile come again, and are found to be there already.
        try:
            await self._consumer.acknowledge(*messages)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error
        for each in messages:
            self._unsettled.pop(each.tag, None)

    @override
    async def quarantine(self, arrival: Arrival, violations: str) -> None:
        message = _message_of(arrival)
        try:
            await self._consumer.move(
                message, self._exchange + QUARANTINE_SUFFIX, {VIOLATIONS_HEADER: violations}
            )
        except sqlite3.Error as error:
            raise OSError(str(error)) from error
        self._unsettled.pop(message.tag, None)

    async def give_back(self) -> None:
        """Let others receive what was not acknowledged."""
        await self._consumer.requeue(*self._unsettled.values())

    async def keep_invisible(self) -> None:
        """Keep what was received from others, for as long as it is not acknowledged."""
        while True:
            await asyncio.sleep(_VISIBILITY_TIMEOUT / 3)
            with suppress(sqlite3.Error, OSError):  # a database that fails is reported by receive()
                await self._consumer.extend(*self._unsettled.values())

    async def _run(self, operation: Any) -> None:
        try:
            await self._database.run(operation)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error


def _message_of(arrival: Arrival) -> QueuedMessage:
    assert isinstance(arrival.tag, QueuedMessage)  # noqa: S101 -- of this intake
    return arrival.tag
