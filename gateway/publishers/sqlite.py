"""The embedded queue: exchanges, bindings and queues in SQLite, durable on one machine.

Keeps the promises that the RabbitMQ topology makes: a message goes to every queue whose binding matches,
else to the exchange's ``unrouted`` queue; it is confirmed when it is on disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable

import orjson

from gateway.embedded import Database
from gateway.publishers import QUARANTINE_SUFFIX, UNROUTED_SUFFIX, Message, PublishUnavailable
from gateway.topics import matches


class SqlitePublisher:
    """Publishes to the queues of one ``data_dir``.

    Args:
        database: the embedded database.
        exchange: the exchange for events; its ``.unrouted`` and ``.quarantine`` queues are made at start.
    """

    trouble = ""
    was_ready = True
    is_accepting = True
    unconfirmed = 0
    spooled = corrupt = 0

    def __init__(self, database: Database, exchange: str) -> None:
        self._database = database
        self._exchange = exchange

    async def start(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._database.start()
        quarantine = self._exchange + QUARANTINE_SUFFIX
        await self._database.run(lambda connection: declare(connection, self._exchange + UNROUTED_SUFFIX, []))
        await self._database.run(lambda connection: declare(connection, quarantine, [(quarantine, "#")]))

    async def stop(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._database.stop()

    def publish(self, message: Message) -> Awaitable[None]:
        """See :class:`gateway.publishers.Publisher`."""
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
        now = time.time()
        connection.execute("DELETE FROM queues WHERE expires_at < ?", (now,))
        bindings = connection.execute(
            "SELECT queue, pattern FROM bindings WHERE exchange = ?", (message.exchange,)
        )
        queues = {queue for queue, pattern in bindings if matches(pattern, message.routing_key)}
        headers = orjson.dumps(message.headers).decode()
        connection.executemany(
            "INSERT INTO messages (queue, routing_key, message_id, body, visible_at, headers) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (queue, message.routing_key, message.message_id, message.body, now, headers)
                for queue in queues or {self._exchange + UNROUTED_SUFFIX}
            ],
        )


def declare(
    connection: sqlite3.Connection,
    queue: str,
    bindings: list[tuple[str, str]],
    expires_at: float | None = None,
) -> None:
    """Make ``queue`` with its (exchange, pattern) bindings; one with ``expires_at`` (Unix seconds) ends then."""
    connection.execute(
        "INSERT INTO queues VALUES (?, ?) ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at",
        (queue, expires_at),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO bindings VALUES (?, ?, ?)",
        [(exchange, queue, pattern) for exchange, pattern in bindings],
    )
