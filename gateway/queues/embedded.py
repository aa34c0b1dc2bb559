"""Reading events from the embedded queue.

A message that is received stays in the queue, invisible, until it is acknowledged; when its consumer dies it
becomes visible again after the visibility timeout, so that nothing is lost with a consumer either.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from gateway.publishers.sqlite import declare
from gateway.transport.embedded import Database, SteadyClock

MessageHeaders = Mapping[str, str | int]

_POLL_EVERY = 0.05
_TAIL_LIVES = 60.0


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message that was received and is to be acknowledged.

    Attributes:
        tag: its place in the queue.
        routing_key: ``<provider>.<event type>``.
        message_id: the CloudEvents id.
        body: the CloudEvent in JSON.
        deliveries: how often it was received since it was put into the queue, this time included.
        headers: what stands beside the body.
    """

    tag: int
    routing_key: str
    message_id: str
    body: bytes
    deliveries: int
    headers: MessageHeaders = field(default_factory=dict, compare=False)


class SqliteConsumer:
    """One queue of the embedded broker.

    Args:
        database: the embedded database.
        queue: the name of the queue; made when it is not there.
        bindings: (exchange, pattern) pairs that fill it.
        visibility: seconds after which a message that was not acknowledged is delivered again.
        is_alone: whether one consumer at a time receives. What one had that died comes first, in its order.
        clock: Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        queue: str,
        bindings: Sequence[tuple[str, str]] = (),
        *,
        visibility: float = 30.0,
        is_alone: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._queue = queue
        self._bindings = list(bindings)
        self._visibility = visibility
        self._is_alone = is_alone
        self._key = f"active:{queue}"  # among the claims
        self._token = os.urandom(8).hex().encode()
        self._clock = SteadyClock(clock)

    async def start(self, lives: float | None = None) -> None:
        """Open the queue; one that ``lives`` so many seconds ends then unless it is started again."""
        await self._database.start()
        await self.keep(lives)

    async def stop(self) -> None:
        """Close the queue; its messages stay."""
        if self._is_alone:
            await self._database.run(
                lambda connection: connection.execute(
                    "DELETE FROM claims WHERE key = ? AND value = ?", (self._key, self._token)
                )
            )
        await self._database.stop()

    async def keep(self, lives: float | None) -> None:
        """Declare the queue, to live so many seconds from now, or for good."""

        def keep(connection: sqlite3.Connection) -> None:
            expires_at = None if lives is None else self._clock.now(connection) + lives
            declare(connection, self._queue, self._bindings, expires_at)

        await self._database.run(keep)

    async def delete(self) -> None:
        """Remove the queue with its messages."""
        await self._database.run(
            lambda connection: connection.execute("DELETE FROM queues WHERE name = ?", (self._queue,))
        )

    async def receive(self, limit: int = 1) -> list[QueuedMessage]:
        """Up to ``limit`` messages, oldest first; none when there are none."""

        def receive(connection: sqlite3.Connection) -> list[QueuedMessage]:
            now = self._clock.now(connection, compares=True)
            if self._is_alone and not self._stay_active(connection, now):
                return []
            rows = connection.execute(
                "UPDATE messages SET visible_at = ?, deliveries = deliveries + 1 WHERE id IN "
                "(SELECT id FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?) "
                "RETURNING id, routing_key, message_id, body, deliveries, headers",
                (now + self._visibility, self._queue, now, limit),
            )
            found = [
                QueuedMessage(tag, key, message_id, body, count, orjson.loads(headers))
                for tag, key, message_id, body, count, headers in rows
            ]
            return sorted(found, key=lambda delivery: delivery.tag)

        return await self._database.run(receive)

    async def acknowledge(self, *deliveries: QueuedMessage) -> bool:
        """Remove what is done for good; tells whether all were still ours, and not delivered again meanwhile."""
        return await self._change("DELETE FROM messages", deliveries)

    async def requeue(self, *deliveries: QueuedMessage) -> bool:
        """Let the messages be delivered again at once; tells as :meth:`acknowledge`."""
        return await self._change("UPDATE messages SET visible_at = ?", deliveries, due=0.0)

    async def keep_invisible(self, *deliveries: QueuedMessage) -> bool:
        """Have the messages for another visibility timeout; tells as :meth:`acknowledge`."""
        if self._is_alone:
            await self._database.run(
                lambda connection: self._stay_active(connection, self._clock.now(connection))
            )
        return await self._change("UPDATE messages SET visible_at = ?", deliveries, due=self._visibility)

    async def move(
        self, delivery: QueuedMessage, queue: str, headers: MessageHeaders, delay: float = 0
    ) -> bool:
        """Put a message into ``queue``, or back, with these headers added, to be delivered after ``delay`` seconds.

        Tells as :meth:`acknowledge`.
        """
        return await self._change(
            "UPDATE messages SET deliveries = 0, queue = ?, headers = ?, visible_at = ?",
            [delivery],
            queue,
            orjson.dumps({**delivery.headers, **headers}).decode(),
            due=delay,
        )

    def _stay_active(self, connection: sqlite3.Connection, now: float) -> bool:
        """Be the one that receives for another visibility timeout; False while another one is."""
        row = connection.execute(
            "SELECT value, expires_at FROM claims WHERE key = ?", (self._key,)
        ).fetchone()
        active, until = row or (b"", 0.0)
        if active != self._token:
            if until > now:
                return False
            connection.execute(
                "UPDATE messages SET visible_at = 0 WHERE queue = ? AND deliveries > 0", (self._queue,)
            )
        connection.execute(
            "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (self._key, self._token, now + self._visibility)
        )
        return True

    async def _change(
        self, change: str, deliveries: Sequence[QueuedMessage], *values: str, due: float | None = None
    ) -> bool:
        """Carry ``change`` out; its last value is the moment in ``due`` seconds, where that is given."""

        def carry_out(connection: sqlite3.Connection) -> int:
            moment = () if due is None else (self._clock.now(connection) + due,)
            rows = [(*values, *moment, delivery.tag, delivery.deliveries) for delivery in deliveries]
            return connection.executemany(f"{change} WHERE id = ? AND deliveries = ?", rows).rowcount

        return await self._database.run(carry_out) == len(deliveries)

    async def __aiter__(self) -> AsyncIterator[QueuedMessage]:
        """Messages as they come; each is to be acknowledged."""
        while True:
            deliveries = await self.receive()
            if not deliveries:  # another process may publish: SQLite has no way to tell but to ask
                await asyncio.sleep(_POLL_EVERY)
            for delivery in deliveries:
                yield delivery


@asynccontextmanager
async def tail_database(
    database: Database, exchange: str, pattern: str
) -> AsyncIterator[AsyncIterator[bytes]]:
    """See :func:`gateway.queues.tail`; by a queue that ends a minute after its consumer died."""
    consumer = SqliteConsumer(database, f"tail-{os.urandom(6).hex()}", [(exchange, pattern)])
    await consumer.start(_TAIL_LIVES)
    try:
        yield _bodies(consumer)
    finally:
        await consumer.delete()
        await consumer.stop()


async def _bodies(consumer: SqliteConsumer) -> AsyncIterator[bytes]:
    kept_at = time.monotonic()
    while True:
        deliveries = await consumer.receive(limit=100)
        if deliveries:
            await consumer.acknowledge(*deliveries)
        else:
            await asyncio.sleep(_POLL_EVERY)
        for delivery in deliveries:
            yield delivery.body
        if time.monotonic() - kept_at > _TAIL_LIVES / 3:
            kept_at = time.monotonic()
            await consumer.keep(_TAIL_LIVES)
