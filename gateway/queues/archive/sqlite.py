"""The archive of the embedded broker: a table beside the queues."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import orjson
from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers.sqlite import enqueue
from gateway.queues.archive import Archive, Archived, NotThere
from gateway.transport.embedded import Database, SteadyClock

_PAGE_SIZE = 100
"""Events that are read at a time, to bound memory."""


class ArchiveLog(Archive):
    """The archive in the embedded database ``database``."""

    def __init__(self, database: Database) -> None:
        self.last = 0
        self._database = database
        self._clock = SteadyClock(time.time)

    @override
    async def read(self, since: float) -> AsyncGenerator[Archived, None]:
        first, last = await self._database.run(
            lambda connection: connection.execute(
                "SELECT min(id), (SELECT max(id) FROM archive) FROM archive WHERE archived_at >= ?", (since,)
            ).fetchone()
        )
        if first is None:
            return
        self.last, place = last, first - 1
        while page := await self._page_after(place):
            for archived in page:
                yield archived
                place = archived.place

    def _page_after(self, place: int) -> asyncio.Future[list[Archived]]:
        def page(connection: sqlite3.Connection) -> list[Archived]:
            rows = connection.execute(
                "SELECT id, routing_key, message_id, type, headers, body FROM archive "
                "WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                (place, self.last, _PAGE_SIZE),
            )
            return [
                Archived(number, Message("", key, message_id, kind, orjson.loads(headers), body))
                for number, key, message_id, kind, headers, body in rows
            ]

        return self._database.run(page)

    @override
    async def open_queue(self, queue: str) -> None:
        found = await self._database.run(
            lambda connection: connection.execute("SELECT 1 FROM queues WHERE name = ?", (queue,)).fetchone()
        )
        if not found:
            raise NotThere(f"there is no queue {queue!r}; its worker makes it")

    @override
    def deliver(self, queue: str, message: Message) -> asyncio.Future[None]:
        return self._database.run(
            lambda connection: enqueue(
                connection, [queue], message, self._clock.now(connection, compares=True)
            )
        )


@asynccontextmanager
async def open_log(database: Database) -> AsyncIterator[ArchiveLog]:
    """Open the archive in ``database``.

    Raises:
        NotThere: There is no database yet.
        OSError: The database cannot be read or written, now or later.
    """
    if not database.path.exists():
        raise NotThere(f"there is no archive: {database.path} is not there")
    await database.start()
    try:
        yield ArchiveLog(database)
    except sqlite3.Error as error:
        raise OSError(f"{database.path}: {error}") from error
    finally:
        await database.stop()
