"""The queues of the embedded broker, read from its file, which is never changed or created."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import orjson
from typing_extensions import override

from gateway.events.strict_json import load_event
from gateway.queues.filter import received_at_of
from gateway.queues.inspection import TIMEOUT, FoundMessage, QueueDepth, QueueInspection, QueueMembers

T = TypeVar("T")

_DEPTH = (
    "SELECT count(*) FILTER (WHERE visible_at <= :now), "
    "count(*) FILTER (WHERE visible_at > :now AND deliveries > 0), "
    "count(*) FILTER (WHERE visible_at > :now AND deliveries = 0), min(id) FROM messages WHERE queue = :queue"
)
"""A received message is invisible and has deliveries; one that waits for its next attempt was moved and has none."""


class SqliteInspection(QueueInspection):
    """The queues in the file at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    async def names(self) -> list[str] | None:
        return await self._read(
            lambda connection: [
                name
                for (name,) in connection.execute(
                    # A queue that expires belongs to a tail.
                    "SELECT name FROM queues WHERE expires_at IS NULL ORDER BY name"
                )
            ],
            [],
        )

    @override
    async def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        return await self._read(lambda connection: _depths(connection, names), [])

    @override
    async def members(self) -> list[QueueMembers] | None:
        return None

    @override
    async def find(self, provider: str, message_id: str) -> list[FoundMessage] | None:
        return await self._read(lambda connection: _find(connection, provider, message_id), [])

    async def _read(self, read: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Return what ``read`` finds on a thread; ``otherwise`` if there is no file."""
        return await asyncio.to_thread(self._read_now, read, otherwise)

    def _read_now(self, read: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        if not self._path.exists():
            return otherwise
        address = f"file:{quote(str(self._path))}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=TIMEOUT)) as connection:
                return read(connection)
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: {error}") from error


def _depths(connection: sqlite3.Connection, names: Sequence[str]) -> list[QueueDepth]:
    known = {name for (name,) in connection.execute("SELECT name FROM queues")}
    # Rows become due by a clock that never goes back; see gateway.transport.embedded.
    latest = connection.execute("SELECT coalesce(max(at), 0) FROM latest").fetchone()[0]
    now = max(time.time(), latest)
    found = []
    for name in dict.fromkeys(names):
        if name in known:
            ready, held, delayed, first = connection.execute(_DEPTH, {"now": now, "queue": name}).fetchone()
            row = connection.execute("SELECT body FROM messages WHERE id = ?", (first,)).fetchone()
            oldest_at = received_at_of(load_event(row[0])) if row else None
            found.append(QueueDepth(name, ready, held, delayed, oldest_at=oldest_at))
    return found


def _find(connection: sqlite3.Connection, provider: str, message_id: str) -> list[FoundMessage]:
    rows = connection.execute(
        "SELECT queue, routing_key, coalesce(headers, '{}'), body FROM messages WHERE message_id = ? ORDER BY id LIMIT 100",
        (message_id,),
    )
    return [
        FoundMessage(queue, key, orjson.loads(headers), body)
        for queue, key, headers, body in rows
        if key.startswith(f"{provider}.") or load_event(body).get("provider") == provider
    ]


@asynccontextmanager
async def inspect_database(path: Path) -> AsyncIterator[SqliteInspection]:
    """Open the queues in the file at ``path``; there are none if there is no file."""
    yield SqliteInspection(path)
