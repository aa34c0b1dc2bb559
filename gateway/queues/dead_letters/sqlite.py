"""Holding queues of the embedded broker: rows, of which a change is done or not, and never half."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import orjson

from gateway.errors import OperatorError
from gateway.queues.dead_letters.letter import DeadLetter
from gateway.transport.embedded import Database, SteadyClock

_AT_ONCE = 100
"""Rows that are read at a time."""


class SqliteHolding:
    """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""

    def __init__(self, database: Database, queue: str, size: int, last: int) -> None:
        self.size = size
        self._database = database
        self._queue = queue
        self._last = last
        self._clock = SteadyClock(time.time)

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""
        seen = 0
        while rows := await self._database.run(partial(self._read, seen)):
            for row, routing_key, message_id, headers, body in rows:
                yield DeadLetter(row, routing_key, message_id, orjson.loads(headers), body)
                seen = row

    def _read(self, after: int, connection: sqlite3.Connection) -> list[tuple[int, str, str, str, bytes]]:
        # What a consumer has is invisible, here too.
        return connection.execute(
            "SELECT id, routing_key, message_id, coalesce(headers, '{}'), body FROM messages "
            "WHERE queue = ? AND id > ? AND id <= ? AND visible_at <= ? ORDER BY id LIMIT ?",
            (self._queue, after, self._last, self._clock.now(connection, compares=True), _AT_ONCE),
        ).fetchall()

    async def move(self, held: DeadLetter, queue: str) -> None:
        """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""
        headers = orjson.dumps(held.lasting_headers()).decode()
        await self._database.run(
            lambda connection: connection.execute(
                "UPDATE messages SET queue = ?, headers = ?, visible_at = ?, deliveries = 0 "
                "WHERE id = ? AND queue = ?",
                (queue, headers, self._clock.now(connection, compares=True), held.handle, self._queue),
            )
        )

    async def drop(self, held: DeadLetter) -> None:
        """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""
        await self._database.run(
            lambda connection: connection.execute(
                "DELETE FROM messages WHERE id = ? AND queue = ?", (held.handle, self._queue)
            )
        )


@asynccontextmanager
async def hold_rows(database: Database, queue: str, target: str | None) -> AsyncIterator[SqliteHolding]:
    """See :func:`gateway.backends.open_dead_letters`."""
    if not database.path.exists():
        raise OperatorError(f"there is no queue {queue}: {database.path} is not there")
    try:
        await database.start()
        try:
            known = await database.run(_names)
            for name in (queue, target):
                if name is not None and name not in known:
                    raise OperatorError(f"there is no queue {name} in {database.path}")
            size, last = await database.run(lambda connection: _extent(connection, queue))
            yield SqliteHolding(database, queue, size, last)
        finally:
            await database.stop()
    except (OSError, sqlite3.Error) as error:
        raise OperatorError(f"cannot read the queue {queue}: {error}") from error


def _names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM queues")}


def _extent(connection: sqlite3.Connection, queue: str) -> tuple[int, int]:
    """How many events can be seen now, and the last one."""
    size, last = connection.execute(
        "SELECT count(*), coalesce(max(id), 0) FROM messages WHERE queue = ? AND visible_at <= ?",
        (queue, SteadyClock(time.time).now(connection, compares=True)),
    ).fetchone()
    return size, last
