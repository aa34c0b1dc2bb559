"""Dead letters in the embedded broker: rows, each changed in one transaction or not at all."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import orjson
from typing_extensions import override

from gateway.errors import OperatorError, QueueNotFound
from gateway.queues.dead_letters import DeadLetter, DeadLetterQueue
from gateway.transport.embedded import Database, SteadyClock

_PAGE_SIZE = 100
"""Rows that are read at a time, to bound memory."""


class SqliteDeadLetterQueue(DeadLetterQueue):
    """A queue of dead letters in the embedded database.

    Args:
        database: The embedded database.
        queue: The name of the queue.
        size: The number of events that are visible now.
        last: The row id of the last of them.
    """

    def __init__(self, database: Database, queue: str, size: int, last: int) -> None:
        self.size = size
        self._database = database
        self._queue = queue
        self._last = last
        self._clock = SteadyClock(time.time)

    @override
    async def browse(self) -> AsyncIterator[DeadLetter]:
        seen = 0
        while rows := await self._database.run(partial(self._read, seen)):
            for row, routing_key, message_id, headers, body in rows:
                yield DeadLetter(row, routing_key, message_id, orjson.loads(headers), body)
                seen = row

    def _read(self, after: int, connection: sqlite3.Connection) -> list[tuple[int, str, str, str, bytes]]:
        # As in RabbitMQ, an event that a consumer has is invisible.
        return connection.execute(
            "SELECT id, routing_key, message_id, coalesce(headers, '{}'), body FROM messages "
            "WHERE queue = ? AND id > ? AND id <= ? AND visible_at <= ? ORDER BY id LIMIT ?",
            (self._queue, after, self._last, self._clock.now(connection, compares=True), _PAGE_SIZE),
        ).fetchall()

    @override
    async def move(self, letter: DeadLetter, queue: str) -> None:
        headers = orjson.dumps(letter.headers_without_failure()).decode()
        await self._database.run(
            lambda connection: connection.execute(
                "UPDATE messages SET queue = ?, headers = ?, visible_at = ?, deliveries = 0 "
                "WHERE id = ? AND queue = ?",
                (queue, headers, self._clock.now(connection, compares=True), letter.handle, self._queue),
            )
        )

    @override
    async def drop(self, letter: DeadLetter) -> None:
        await self._database.run(
            lambda connection: connection.execute(
                "DELETE FROM messages WHERE id = ? AND queue = ?", (letter.handle, self._queue)
            )
        )


@asynccontextmanager
async def open_sqlite_queue(
    database: Database, queue: str, target: str | None
) -> AsyncIterator[SqliteDeadLetterQueue]:
    """Open ``queue`` in the embedded database; events may be moved from it to ``target``.

    Raises:
        QueueNotFound: A queue does not exist.
        OperatorError: The database cannot be used, now or later.
    """
    if not database.path.exists():
        raise QueueNotFound(queue, f"there is no queue {queue}: {database.path} is not there")
    try:
        await database.start()
        try:
            known = await database.run(_queue_names)
            for name in (queue, target):
                if name is not None and name not in known:
                    raise QueueNotFound(name, f"there is no queue {name} in {database.path}")
            size, last = await database.run(lambda connection: _size_and_last(connection, queue))
            yield SqliteDeadLetterQueue(database, queue, size, last)
        finally:
            await database.stop()
    except (OSError, sqlite3.Error) as error:
        raise OperatorError(f"cannot read the queue {queue}: {error}") from error


def _queue_names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM queues")}


def _size_and_last(connection: sqlite3.Connection, queue: str) -> tuple[int, int]:
    """Return the number of events that are visible now, and the row id of the last one."""
    size, last = connection.execute(
        "SELECT count(*), coalesce(max(id), 0) FROM messages WHERE queue = ? AND visible_at <= ?",
        (queue, SteadyClock(time.time).now(connection, compares=True)),
    ).fetchone()
    return size, last
