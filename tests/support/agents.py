"""Where workers run in tests: RabbitMQ with Redis, or the embedded database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aio_pika
import orjson

from gateway.claims.redis_servers import OneServer
from gateway.events.message import Message
from gateway.journal.reports import ReportSource
from gateway.journal.reports.rabbitmq import RabbitCarrier, open_rabbitmq_reports
from gateway.journal.reports.sender import Reports
from gateway.journal.reports.sqlite import SqliteCarrier, open_sqlite_reports
from gateway.publishers import Publisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.embedded import SqliteConsumer
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from gateway.transport.reconnect import ReconnectingConnection
from gateway.worker import Worker
from gateway.worker.idempotency import Idempotency
from gateway.worker.queue import Queue
from gateway.worker.rabbitmq import RabbitQueue
from gateway.worker.runner import Runner
from gateway.worker.sqlite import SqliteQueue
from gateway.worker.store import Store
from gateway.worker.store.redis import RedisStore
from gateway.worker.store.sqlite import SqliteStore
from support.waiting import wait_until_async

LEASE = 3.0
EXCHANGE = "webhooks"
_BATCH_SIZE = 500
"""Events that are published before their confirms are awaited."""


def connection_of(runner: Runner) -> ReconnectingConnection[Any]:
    """Return the connection of a runner's queue in RabbitMQ."""
    return cast("RabbitQueue", runner.queue).connection


def envelope(event_id: str, eventtype: str = "invoice.paid", **attributes: Any) -> bytes:
    """Return a CloudEvent as the gateway makes it."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": "/stripe",
            "type": f"com.stripe.{eventtype}",
            "provider": "stripe",
            "adapter": "stripe",
            "eventtype": eventtype,
            "datacontenttype": "application/json",
            **attributes,
        }
    )


def message_of(body: bytes, routing_key: str = "stripe.invoice.paid", event_id: str = "evt") -> Message:
    """Return a message to the exchange of the events."""
    return Message(EXCHANGE, routing_key, event_id, "com.stripe.invoice.paid", {"provider": "stripe"}, body)


@dataclass(frozen=True)
class Dead:
    """A message in a dead-letter queue."""

    body: bytes
    headers: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """The backends of workers; without addresses, the embedded database in ``folder``."""

    folder: Path
    rabbitmq_url: str = ""
    redis_url: str = ""

    def queue_of(self, worker: Worker) -> Queue:
        """Return the worker's queue, not started."""
        if self.rabbitmq_url:
            return RabbitQueue(BrokerNodes(self.rabbitmq_url), EXCHANGE, worker)
        return SqliteQueue(Database(self.folder), EXCHANGE, worker, visibility=LEASE)

    def store(self) -> Store:
        """Return the store that the worker's processes share, not started."""
        if self.redis_url:
            return RedisStore(OneServer(self.redis_url), LEASE, 3600)
        return SqliteStore(Database(self.folder), LEASE, 3600)

    def reports(self) -> Reports:
        """Return what sends reports, not started."""
        if self.rabbitmq_url:
            return Reports(RabbitCarrier(BrokerNodes(self.rabbitmq_url), EXCHANGE))
        return Reports(SqliteCarrier(Database(self.folder)))

    def reports_source(self) -> AbstractAsyncContextManager[ReportSource]:
        """Open the queue of reports."""
        if self.rabbitmq_url:
            return open_rabbitmq_reports(BrokerNodes(self.rabbitmq_url), EXCHANGE)
        return open_sqlite_reports(Database(self.folder))

    def runner_of(self, worker: Worker, reports: Reports | None = None) -> Runner:
        """Return a runner of the worker."""
        idempotency = (
            Idempotency(self.store(), worker.queue, LEASE, worker.guard) if worker.guard != "off" else None
        )
        return Runner(worker, self.queue_of(worker), idempotency, reports=reports)

    @asynccontextmanager
    async def running(self, worker: Worker, *, is_reporting: bool = False) -> AsyncIterator[Runner]:
        """Run the worker within the block, and end it gracefully."""
        await self.queue_of(worker).check()
        runner = self.runner_of(worker, self.reports() if is_reporting else None)
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            runner.end()
            await task

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[Publisher]:
        """Return a connected publisher, for the block."""
        publisher: Publisher = (
            RabbitPublisher(BrokerNodes(self.rabbitmq_url), EXCHANGE, 10)
            if self.rabbitmq_url
            else SqlitePublisher(Database(self.folder), EXCHANGE)
        )
        await publisher.start()
        try:
            await wait_until_async(
                lambda: not publisher.unavailable_reason, message="the publisher is connected"
            )
            yield publisher
        finally:
            await publisher.stop()

    async def publish(
        self, *event_ids: str, eventtype: str = "invoice.paid", **attributes: Callable[[str], Any]
    ) -> None:
        """Publish events of Stripe in this order; each of ``attributes`` makes a value from the id of an event."""
        async with self.publishing() as publisher:
            for first in range(0, len(event_ids), _BATCH_SIZE):
                await asyncio.gather(
                    *(
                        publisher.publish(
                            message_of(
                                envelope(
                                    event_id,
                                    eventtype,
                                    **{name: make(event_id) for name, make in attributes.items()},
                                ),
                                f"stripe.{eventtype}",
                                event_id,
                            )
                        )
                        for event_id in event_ids[first : first + _BATCH_SIZE]
                    )
                )

    async def dead(self, queue: str) -> list[Dead]:
        """Remove and return the messages in the dead-letter queue of ``queue``."""
        name = f"{queue}.dead"
        if not self.rabbitmq_url:
            consumer = SqliteConsumer(Database(self.folder), name)
            await consumer.start()
            rows = await consumer.receive(limit=100_000)
            await consumer.acknowledge(*rows)
            await consumer.stop()
            return [Dead(row.body, dict(row.headers)) for row in rows]
        async with await aio_pika.connect(self.rabbitmq_url) as connection:
            channel = await connection.channel()
            found = await channel.get_queue(name)
            dead = []
            while message := await found.get(fail=False):
                dead.append(Dead(message.body, dict(message.headers)))
                await message.ack()
            return dead
