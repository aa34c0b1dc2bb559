"""The embedded queue: exchanges, bindings and queues in SQLite, durable on one machine.

It keeps the promises of the RabbitMQ topology: a message goes to every queue whose binding matches, or else to the
exchange's ``unrouted`` queue, and is confirmed when it is on disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable

import orjson
from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers import QUARANTINE_SUFFIX, UNROUTED_SUFFIX, Publisher, PublishUnavailable, Retention
from gateway.transport.embedded import Database, SteadyClock
from gateway.transport.pattern_tree import PatternTree

_REMOVAL_BATCH_SIZE = 64
"""Old events that are removed with each new one at most. After a long stop of the gateway there may be many, and the
first event must not wait for the removal of them all."""


class SqlitePublisher(Publisher):
    """Publishes to the queues of one ``data_dir``.

    Args:
        database: The embedded database.
        exchange: The exchange for events; its ``.unrouted`` and ``.quarantine`` queues are made at start.
        archive: How long the archive keeps events; None for no archive.
        clock: Unix seconds.
    """

    has_been_ready = True
    unconfirmed = 0
    spooled = corrupt = 0

    def __init__(
        self,
        database: Database,
        exchange: str,
        archive: Retention | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._archive = archive
        self._clock = clock
        self._steady = SteadyClock(clock)
        self._routing: dict[str, tuple[int, PatternTree[str]]] = {}

    @property
    @override
    def unavailable_reason(self) -> str:
        return self._database.unavailable_reason

    @property
    @override
    def is_accepting(self) -> bool:
        return not self._database.unavailable_reason

    @override
    async def start(self) -> None:
        await self._database.start()
        quarantine = self._exchange + QUARANTINE_SUFFIX
        await self._database.run(lambda connection: declare(connection, self._exchange + UNROUTED_SUFFIX, []))
        await self._database.run(lambda connection: declare(connection, quarantine, [(quarantine, "#")]))

    @override
    async def stop(self) -> None:
        await self._database.stop()

    @override
    def publish(self, message: Message) -> Awaitable[None]:
        return self._publish(message)

    async def _publish(self, message: Message) -> None:
        self.unconfirmed += 1
        try:
            await self._database.run(lambda connection: self._route(connection, message))
        except sqlite3.Error as error:
            raise PublishUnavailable(str(error)) from error
        finally:
            self.unconfirmed -= 1

    def _route(self, connection: sqlite3.Connection, message: Message) -> None:
        self._database.expect_in_place()
        now = self._steady.now(connection, compares=True)
        connection.execute("DELETE FROM queues WHERE expires_at < ?", (now,))
        queues = set(self._bindings(connection, message.exchange).find(message.routing_key))
        enqueue(connection, queues or {self._exchange + UNROUTED_SUFFIX}, message, self._steady.kept)
        if self._archive and message.exchange == self._exchange:
            # By the system's clock: a replay selects archived events by the time of day.
            _archive(connection, message, self._clock(), self._archive)

    def _bindings(self, connection: sqlite3.Connection, exchange: str) -> PatternTree[str]:
        """Return the queues of an exchange by their patterns, which are read again only after some binding has changed.

        With 10,000 endpoints that want different events, to compare each pattern took 9 ms an event (2026-12).
        """
        ((version,),) = connection.execute("SELECT coalesce((SELECT version FROM routing), 0)")
        known = self._routing.get(exchange)
        if known is not None and known[0] == version:
            return known[1]
        bindings: PatternTree[str] = PatternTree()
        for queue, pattern in connection.execute(
            "SELECT queue, pattern FROM bindings WHERE exchange = ?", (exchange,)
        ):
            bindings.add(pattern, queue)
        self._routing[exchange] = version, bindings
        return bindings


def enqueue(connection: sqlite3.Connection, queues: Iterable[str], message: Message, now: float) -> None:
    """Put ``message`` into each of the existing ``queues``, to be received from ``now`` on."""
    headers = orjson.dumps(message.headers).decode()
    connection.executemany(
        "INSERT INTO messages (queue, routing_key, message_id, body, visible_at, headers) VALUES (?, ?, ?, ?, ?, ?)",
        [(queue, message.routing_key, message.message_id, message.body, now, headers) for queue in queues],
    )


def _archive(connection: sqlite3.Connection, message: Message, now: float, retention: Retention) -> None:
    """Put ``message`` into the archive, and remove events that exceed the retention."""
    # Each row has the number of bytes archived before it, so that the size of a large archive needs no sum.
    last = connection.execute(
        "SELECT starts_at + length(body) FROM archive ORDER BY id DESC LIMIT 1"
    ).fetchone()
    (start,) = last or (0,)
    connection.execute(
        "INSERT INTO archive (archived_at, starts_at, routing_key, message_id, type, headers, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            now,
            start,
            message.routing_key,
            message.message_id,
            message.type,
            orjson.dumps(message.headers).decode(),
            message.body,
        ),
    )
    end = start + len(message.body)
    connection.execute(
        "DELETE FROM archive WHERE id IN (SELECT id FROM archive ORDER BY id LIMIT ?) "
        "AND (archived_at < ? OR starts_at < ?)",
        (_REMOVAL_BATCH_SIZE, now - retention.max_age, end - retention.max_size),
    )


def declare(
    connection: sqlite3.Connection,
    queue: str,
    bindings: list[tuple[str, str]],
    expires_at: float | None = None,
) -> None:
    """Make a queue, unless it exists.

    Args:
        connection: The connection to the file.
        queue: The name of the queue.
        bindings: Exchanges and routing patterns.
        expires_at: When the queue is deleted, in Unix seconds; None for a queue that stays.
    """
    connection.execute(
        "INSERT INTO queues VALUES (?, ?) ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at",
        (queue, expires_at),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO bindings VALUES (?, ?, ?)",
        [(exchange, queue, pattern) for exchange, pattern in bindings],
    )
