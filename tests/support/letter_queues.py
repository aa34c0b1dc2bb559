"""Queues of dead letters over both brokers: filled, looked into and emptied by a test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import aio_pika
from pamqp.common import FieldTable

from gateway.backends import open_dead_letters
from gateway.config import Config
from gateway.publishers.sqlite import declare
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter
from gateway.transport.embedded import Database

QUEUE, DEAD, QUARANTINE = "billing-agent", "billing-agent.dead", "webhooks.quarantine"
EVERYTHING = EventFilter()
FAILED = {
    "provider": "acme",
    "x-attempts": 3,
    "x-reason": "no such customer",
    "x-exception": "LookupError",
    "x-queue": QUEUE,
    "x-first-failed-at": "2026-11-21T08:00:00Z",
    "x-last-failed-at": "2026-11-21T09:00:00Z",
    "x-routing-key": "acme.order.created",
}
VIOLATIONS = "/total: must be a number, is a string"
SCHEMA = {
    "$id": "urn:acme:2",
    "type": "object",
    "required": ["total"],
    "properties": {"total": {"type": ["integer", "string"]}},
}


def event(number: int | str, data: str = '{"total": 1.50}', **attributes: Any) -> bytes:
    """A CloudEvent as the gateway makes them, with these bytes as its data."""
    envelope = {
        "specversion": "1.0",
        "id": f"id-{number}",
        "source": "/acme",
        "type": "com.acme.order.created",
        "provider": "acme",
        "eventtype": "order.created",
        "receivedat": "2026-11-21T07:00:00.000Z",
    } | attributes
    return b'%b,"data":%b}' % (json.dumps(envelope).encode()[:-1], data.encode())


class Broker(Protocol):
    """What the tests need of either broker."""

    config: Config

    async def declare(self, *queues: str) -> None:
        """Make these queues."""

    async def put(self, queue: str, body: bytes, headers: Mapping[str, Any], key: str = "") -> None:
        """Put an event into a queue."""

    async def take_all(self, queue: str) -> list[tuple[str, dict[str, Any], bytes]]:
        """Empty a queue: the ids, headers and bodies."""

    async def count(self, queue: str) -> int:
        """Return the number of events that are ready in a queue, without touching them."""

    async def bind(self) -> None:
        """Have the queue of the worker get what is published to the exchange."""


def settings(folder: Path, url: str) -> dict[str, Any]:
    """One provider, with a schema of its own beside the configuration."""
    (folder / "acme.json").write_text(json.dumps(SCHEMA))
    acme = {
        "adapter": "hmac",
        "secrets": ["not-a-real-secret-0123"],
        "signature": {"header": "X-Acme-Signature", "signed": "{body}"},
        "event_id": "body:/id",
        "event_type": "body:/event",
        "schema": "acme.json",
    }
    return {"rabbitmq": {"url": url}, "data_dir": str(folder), "providers": {"acme": acme}}


def configuration(folder: Path, url: str) -> Config:
    """The same as it is loaded."""
    return Config.model_validate(settings(folder, url))


class Embedded:
    """The embedded queue."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.config = configuration(folder, "embedded")
        self.database = database

    async def declare(self, *queues: str) -> None:
        """See Broker."""
        for queue in queues:
            await self.database.run(partial(declare, queue=queue, bindings=[]))

    async def put(self, queue: str, body: bytes, headers: Mapping[str, Any], key: str = "") -> None:
        """See Broker."""
        row = (queue, key or queue, json.loads(body)["id"], body, json.dumps(dict(headers)))
        await self.database.run(
            lambda connection: connection.execute(
                "INSERT INTO messages (queue, routing_key, message_id, body, visible_at, headers) "
                "VALUES (?, ?, ?, ?, 0, ?)",
                row,
            )
        )

    async def take_all(self, queue: str) -> list[tuple[str, dict[str, Any], bytes]]:
        """See Broker."""
        rows = await self.database.run(
            lambda connection: connection.execute(
                "SELECT message_id, headers, body FROM messages WHERE queue = ? AND visible_at < 3e9 ORDER BY id",
                (queue,),
            ).fetchall()
        )
        return [(message_id, json.loads(headers), body) for message_id, headers, body in rows]

    async def count(self, queue: str) -> int:
        """See Broker."""
        (found,) = await self.database.run(
            lambda connection: connection.execute(
                "SELECT count(*) FROM messages WHERE queue = ?", (queue,)
            ).fetchone()
        )
        return int(found)

    async def bind(self) -> None:
        """See Broker."""
        await self.database.run(lambda connection: declare(connection, QUEUE, [("webhooks", "acme.#")]))


class Rabbit:
    """A real RabbitMQ."""

    def __init__(self, folder: Path, url: str, channel: aio_pika.abc.AbstractChannel) -> None:
        self.config = configuration(folder, url)
        self.channel = channel

    async def declare(self, *queues: str, **arguments: Any) -> None:
        """See Broker."""
        for queue in queues:
            await self.channel.declare_queue(
                queue, durable=True, arguments={"x-queue-type": "quorum"} | arguments
            )

    async def put(self, queue: str, body: bytes, headers: Mapping[str, Any], key: str = "") -> None:
        """See Broker."""
        message = aio_pika.Message(
            body,
            headers=dict(headers),
            delivery_mode=2,
            message_id=json.loads(body)["id"],
            type="com.acme.order.created",
            content_type="application/cloudevents+json",
            app_id="webhook-gateway",
        )
        if key:
            exchange = await self.channel.declare_exchange(QUARANTINE, "topic", durable=True)
            await (await self.channel.get_queue(queue)).bind(exchange, "#")
            await exchange.publish(message, key)
        else:
            await self.channel.default_exchange.publish(message, queue)

    async def take_all(self, queue: str) -> list[tuple[str, dict[str, Any], bytes]]:
        """See Broker."""
        taken = []
        source = await self.channel.get_queue(queue)
        while message := await source.get(fail=False):
            await message.ack()
            headers = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}
            taken.append((message.message_id or "", headers, message.body))
        return taken

    async def count(self, queue: str) -> int:
        """See Broker."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def bind(self) -> None:
        """See Broker."""
        alternate: FieldTable = {"alternate-exchange": "webhooks.unrouted"}
        exchange = await self.channel.declare_exchange("webhooks", "topic", durable=True, arguments=alternate)
        await (await self.channel.get_queue(QUEUE)).bind(exchange, "acme.#")


@asynccontextmanager
async def rabbit(folder: Path, url: str) -> AsyncIterator[Rabbit]:
    """A connection to a real RabbitMQ."""
    connection = await aio_pika.connect(url)
    async with connection:
        yield Rabbit(folder, url, await connection.channel())


async def browse(broker: Broker, queue: str) -> list[DeadLetter]:
    """All that is in a queue."""
    async with open_dead_letters(broker.config, queue) as dead_letters:
        return [held async for held in dead_letters.browse()]


async def ids(broker: Broker, queue: str) -> list[str]:
    """Which events are in a queue."""
    return [held.message_id for held in await browse(broker, queue)]


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Embedded]:
    """An embedded queue."""
    database = Database(folder)
    await database.start()
    yield Embedded(folder, database)
    await database.stop()
