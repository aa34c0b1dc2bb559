"""The consumer of the embedded queue, and a tail of it.

A received message stays in the queue, invisible, until it is acknowledged. If its consumer dies, it becomes visible
again after the visibility timeout, so that no message is lost with a consumer.

The module is over 200 lines: every way to settle a message is one statement with its own conditions.
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

_POLL_DELAY = 0.05
"""Seconds between two looks into an empty queue: SQLite cannot notify another process."""

_TAIL_LIFETIME = 60.0
"""Seconds after which the queue of a tail is deleted that has died."""

_TAIL_BATCH_SIZE = 100
"""Messages that a tail receives at a time."""

_RECLAIM = "UPDATE messages SET visible_at = 0 WHERE queue = ? AND deliveries > 0"


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message that was received and awaits its acknowledgement.

    Attributes:
        tag: The row id of the message.
        routing_key: ``<provider>.<event type>``.
        message_id: The CloudEvents id.
        body: The CloudEvent in JSON.
        deliveries: How often it was received since it was put into the queue, this time included.
        headers: The headers of the message.
    """

    tag: int
    routing_key: str
    message_id: str
    body: bytes
    deliveries: int
    headers: MessageHeaders = field(default_factory=dict, compare=False)


class SqliteConsumer:
    """A consumer of one queue of the embedded broker.

    Args:
        database: The embedded database.
        queue: The name of the queue, which is declared by :meth:`start`.
        bindings: The (exchange, pattern) pairs by which the queue gets messages.
        visibility_timeout: Seconds after which a message that was not acknowledged is delivered again.
        is_single_active: Whether one consumer at a time receives, as of a RabbitMQ queue with
            ``x-single-active-consumer``. The next one gets first, in order, what a consumer had that died.
        clock: Returns Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        queue: str,
        bindings: Sequence[tuple[str, str]] = (),
        *,
        visibility_timeout: float = 30.0,
        is_single_active: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._queue = queue
        self._bindings = list(bindings)
        self._visibility_timeout = visibility_timeout
        self._is_single_active = is_single_active
        self._active_key = f"active:{queue}"  # in the table of claims
        self._token = os.urandom(8).hex().encode()
        self._clock = SteadyClock(clock)

    async def start(self, lifetime: float | None = None) -> None:
        """Open the database and declare the queue, as :meth:`declare`."""
        await self._database.start()
        await self.declare(lifetime)

    async def stop(self) -> None:
        """Close the database. The queue stays, with its messages."""
        if self._is_single_active:
            await self._database.run(
                lambda connection: connection.execute(
                    "DELETE FROM claims WHERE key = ? AND value = ?", (self._active_key, self._token)
                )
            )
        await self._database.stop()

    async def declare(self, lifetime: float | None) -> None:
        """Declare the queue.

        It is deleted ``lifetime`` seconds from now unless it is declared again; None keeps it.
        """

        def declare_queue(connection: sqlite3.Connection) -> None:
            expires_at = None if lifetime is None else self._clock.now(connection) + lifetime
            declare(connection, self._queue, self._bindings, expires_at)

        await self._database.run(declare_queue)

    async def delete(self) -> None:
        """Delete the queue with its messages."""
        await self._database.run(
            lambda connection: connection.execute("DELETE FROM queues WHERE name = ?", (self._queue,))
        )

    async def receive(self, limit: int = 1) -> list[QueuedMessage]:
        """Return up to ``limit`` messages, oldest first, without waiting for any."""

        def receive(connection: sqlite3.Connection) -> list[QueuedMessage]:
            now = self._clock.now(connection, compares=True)
            if self._is_single_active and not self._stay_active(connection, now):
                return []
            rows = connection.execute(
                "UPDATE messages SET visible_at = ?, deliveries = deliveries + 1 WHERE id IN "
                "(SELECT id FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?) "
                "RETURNING id, routing_key, message_id, body, deliveries, headers",
                (now + self._visibility_timeout, self._queue, now, limit),
            )
            found = [
                QueuedMessage(tag, key, message_id, body, count, orjson.loads(headers))
                for tag, key, message_id, body, count, headers in rows
            ]
            return sorted(found, key=lambda message: message.tag)

        return await self._database.run(receive)

    async def acknowledge(self, *messages: QueuedMessage) -> bool:
        """Delete messages.

        Return whether all of them were still ours, and not delivered to another consumer.
        """
        return await self._change("DELETE FROM messages", messages)

    async def requeue(self, *messages: QueuedMessage) -> bool:
        """Make messages visible at once. Return the same as :meth:`acknowledge`."""
        return await self._change("UPDATE messages SET visible_at = ?", messages, due=0.0)

    async def reclaim(self) -> None:
        """Make all messages visible at once that were received by a consumer that has ended."""

        def reclaim(connection: sqlite3.Connection) -> None:
            connection.execute(_RECLAIM, (self._queue,))

        await self._database.run(reclaim)

    async def extend(self, *messages: QueuedMessage) -> bool:
        """Hide messages for another visibility timeout. Return the same as :meth:`acknowledge`."""
        if self._is_single_active:
            await self._database.run(
                lambda connection: self._stay_active(connection, self._clock.now(connection))
            )
        return await self._change(
            "UPDATE messages SET visible_at = ?", messages, due=self._visibility_timeout
        )

    async def move(
        self, message: QueuedMessage, queue: str, headers: MessageHeaders, delay: float = 0
    ) -> bool:
        """Move a message to ``queue``, add ``headers``, and hide it for ``delay`` seconds.

        Return the same as :meth:`acknowledge`.
        """
        return await self._change(
            "UPDATE messages SET deliveries = 0, queue = ?, headers = ?, visible_at = ?",
            [message],
            queue,
            orjson.dumps({**message.headers, **headers}).decode(),
            due=delay,
        )

    def _stay_active(self, connection: sqlite3.Connection, now: float) -> bool:
        """Become or remain the active consumer for one visibility timeout.

        Return False while another one is active.
        """
        row = connection.execute(
            "SELECT value, expires_at FROM claims WHERE key = ?", (self._active_key,)
        ).fetchone()
        active, until = row or (b"", 0.0)
        if active != self._token:
            if until > now:
                return False
            connection.execute(_RECLAIM, (self._queue,))
        connection.execute(
            "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)",
            (self._active_key, self._token, now + self._visibility_timeout),
        )
        return True

    async def _change(
        self, change: str, messages: Sequence[QueuedMessage], *values: str, due: float | None = None
    ) -> bool:
        """Run the statement ``change`` for each message, unless it was delivered again meanwhile.

        With ``due``, the last value of the statement is the time in ``due`` seconds.
        """

        def carry_out(connection: sqlite3.Connection) -> int:
            moment = () if due is None else (self._clock.now(connection) + due,)
            rows = [(*values, *moment, message.tag, message.deliveries) for message in messages]
            return connection.executemany(f"{change} WHERE id = ? AND deliveries = ?", rows).rowcount

        return await self._database.run(carry_out) == len(messages)

    async def __aiter__(self) -> AsyncIterator[QueuedMessage]:
        """Yield messages as they arrive. The caller acknowledges each."""
        while True:
            messages = await self.receive()
            if not messages:
                await asyncio.sleep(_POLL_DELAY)
            for message in messages:
                yield message


@asynccontextmanager
async def tail_database(
    database: Database, exchange: str, pattern: str
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the bodies of events published from now on whose routing key matches ``pattern``.

    They are read through a queue of its own, which is deleted a minute after this process died.
    """
    consumer = SqliteConsumer(database, f"tail-{os.urandom(6).hex()}", [(exchange, pattern)])
    await consumer.start(_TAIL_LIFETIME)
    try:
        yield _bodies(consumer)
    finally:
        await consumer.delete()
        await consumer.stop()


async def _bodies(consumer: SqliteConsumer) -> AsyncIterator[bytes]:
    declared_at = time.monotonic()
    while True:
        messages = await consumer.receive(_TAIL_BATCH_SIZE)
        if messages:
            await consumer.acknowledge(*messages)
        else:
            await asyncio.sleep(_POLL_DELAY)
        for message in messages:
            yield message.body
        if time.monotonic() - declared_at > _TAIL_LIFETIME / 3:
            declared_at = time.monotonic()
            await consumer.declare(_TAIL_LIFETIME)
