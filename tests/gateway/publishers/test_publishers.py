"""Every publisher: what it confirms is durable, whole and routed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from gateway.events.message import Message
from gateway.publishers import Publisher, PublishUnavailable, Retention
from gateway.publishers.memory import MemoryPublisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.embedded import SqliteConsumer
from gateway.transport.amqp_client import DeclaringChannel
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from gateway.transport.topic_patterns import matches
from support.rabbitmq_server import RabbitMQServer
from support.waiting import PATIENCE, wait_until_async

EXCHANGE = "webhooks"
QUARANTINE = "webhooks.quarantine"
UNROUTED = "webhooks.unrouted"
ARCHIVE = "webhooks.archive"
RETENTION = Retention(max_age=7 * 86_400, max_size=10 * 1024**3)

Received = tuple[str, str, bytes]
"""Message id, routing key, body."""


def message(
    number: int | str = 1, *, key: str = "github.push", body: bytes = b"{}", exchange: str = EXCHANGE
) -> Message:
    """Return a message that its number identifies."""
    return Message(
        exchange=exchange,
        routing_key=key,
        message_id=f"id-{number}",
        type="com.github.push",
        headers={"provider": "github", "adapter": "github", "eventtype": "push", "source": "/github"},
        body=body,
    )


def awaitable(condition: Callable[[], Awaitable[bool]]) -> Callable[[], bool | Awaitable[bool]]:
    """The condition, of the type that it is waited for."""
    return condition


class Broker(Protocol):
    """A publisher with the far end of its queues."""

    @property
    def publisher(self) -> Publisher:
        """What is tested."""

    async def bind(self, queue: str, pattern: str) -> None:
        """Make a queue that the exchange for events fills."""

    async def read(self, queue: str, count: int) -> list[Received]:
        """The first ``count`` messages of a queue, which has at least as many."""

    async def is_empty(self, queue: str) -> bool:
        """Return whether the queue is empty."""


class MemoryBroker:
    """The publisher for tests, with the queues that a broker would have made of its messages."""

    def __init__(self) -> None:
        self.publisher = MemoryPublisher()
        self._patterns = {QUARANTINE: "#"}
        self._taken: dict[str, int] = {}

    async def bind(self, queue: str, pattern: str) -> None:
        """Make a queue that the exchange for events fills."""
        self._patterns[queue] = pattern

    async def read(self, queue: str, count: int) -> list[Received]:
        """Take ``count`` messages from the queue, which has at least as many."""
        start = self._taken.get(queue, 0)
        self._taken[queue] = start + count
        return self._content(queue)[start : start + count]

    async def is_empty(self, queue: str) -> bool:
        """Return whether the queue is empty."""
        return len(self._content(queue)) == self._taken.get(queue, 0)

    def _content(self, queue: str) -> list[Received]:
        exchange = QUARANTINE if queue == QUARANTINE else EXCHANGE
        return [
            (each.message_id, each.routing_key, each.body)
            for each in self.publisher.messages
            if each.exchange == exchange and self._goes_to(queue, each.routing_key)
        ]

    def _goes_to(self, queue: str, key: str) -> bool:
        if queue == UNROUTED:
            return not any(
                matches(pattern, key) for name, pattern in self._patterns.items() if name != QUARANTINE
            )
        return matches(self._patterns[queue], key)


class SqliteBroker:
    """The embedded queue, read through a connection of its own."""

    def __init__(self, folder: Path, archive: Retention | None = None) -> None:
        self.publisher = SqlitePublisher(Database(folder), EXCHANGE, archive)
        self._database = Database(folder)

    async def bind(self, queue: str, pattern: str) -> None:
        """Make a queue that the exchange for events fills."""
        consumer = SqliteConsumer(self._database, queue, [(EXCHANGE, pattern)])
        await consumer.start()
        await consumer.stop()

    async def read(self, queue: str, count: int) -> list[Received]:
        """Take ``count`` messages from the queue, which has at least as many."""
        consumer = SqliteConsumer(self._database, queue)
        await consumer.start()
        deliveries = await consumer.receive(count)
        await consumer.acknowledge(*deliveries)
        await consumer.stop()
        return [(each.message_id, each.routing_key, each.body) for each in deliveries]

    async def is_empty(self, queue: str) -> bool:
        """Return whether the queue is empty."""
        return not await self.read(queue, 1)


class RabbitBroker:
    """RabbitMQ, read with the client that its users have."""

    def __init__(
        self, url: str, channel: AbstractChannel, timeout: float = 20.0, archive: Retention | None = None
    ) -> None:
        self.publisher = RabbitPublisher(BrokerNodes(url), EXCHANGE, timeout, archive)
        self.channel = channel

    async def bind(self, queue: str, pattern: str) -> None:
        """Make a queue that the exchange for events fills."""
        made = await self.channel.declare_queue(queue, durable=True)
        await made.bind(EXCHANGE, pattern)

    async def read(self, queue: str, count: int) -> list[Received]:
        """Take ``count`` messages from the queue, which has at least as many."""
        messages = [await self.take(queue) for _ in range(count)]
        return [(each.message_id or "", each.routing_key or "", each.body) for each in messages]

    async def take(self, queue: str) -> AbstractIncomingMessage:
        """The next message of a queue, with its properties."""
        source = await self.channel.get_queue(queue, ensure=False)
        found: list[AbstractIncomingMessage] = []

        async def arrives() -> bool:
            message = await source.get(no_ack=True, fail=False)
            found.extend([message] if message else [])
            return bool(found)

        await wait_until_async(awaitable(arrives), PATIENCE, f"there is a message in {queue}")
        return found[0]

    async def is_empty(self, queue: str) -> bool:
        """Return whether the queue is empty."""
        source = await self.channel.get_queue(queue, ensure=False)
        return await source.get(no_ack=True, fail=False) is None


@asynccontextmanager
async def started(publisher: Publisher) -> AsyncIterator[Publisher]:
    """The publisher between its start and its stop, connected."""
    await publisher.start()
    try:
        await wait_until_async(
            lambda: not publisher.unavailable_reason, PATIENCE, "the publisher is connected"
        )
        yield publisher
    finally:
        await publisher.stop()


@asynccontextmanager
async def rabbit(
    url: str, timeout: float = 20.0, archive: Retention | None = None
) -> AsyncIterator[RabbitBroker]:
    """A connected publisher with a channel beside it that looks at what it did."""
    async with await aio_pika.connect(url) as connection:
        broker = RabbitBroker(url, await connection.channel(), timeout, archive)
        async with started(broker.publisher):
            yield broker


@pytest.fixture(params=["memory", "sqlite", "sqlite-archiving", "rabbitmq", "rabbitmq-archiving"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    """Each of the three, started, with nothing in its queues; an archive changes nothing for the others."""
    archive = RETENTION if request.param.endswith("archiving") else None
    match request.param.partition("-")[0]:
        case "memory":
            yield MemoryBroker()
        case "sqlite":
            embedded = SqliteBroker(tmp_path, archive)
            async with started(embedded.publisher):
                yield embedded
        case _:
            async with rabbit(request.getfixturevalue("rabbitmq_url"), archive=archive) as real:
                yield real


# The contract of all publishers


async def test_a_published_event_is_in_the_queue_that_is_bound_for_it(broker: Broker) -> None:
    """And in no other: neither unrouted nor quarantined."""
    await broker.bind("pushes", "*.push")
    await broker.bind("issues", "github.issues.#")
    await broker.publisher.publish(message(body=b'{"data":1}'))

    assert await broker.read("pushes", 1) == [("id-1", "github.push", b'{"data":1}')]
    assert await broker.is_empty("issues")
    assert await broker.is_empty(UNROUTED)
    assert await broker.is_empty(QUARANTINE)


async def test_every_bound_queue_gets_a_copy(broker: Broker) -> None:
    """One each, even where two bindings of a queue would match."""
    await broker.bind("all", "#")
    await broker.bind("pushes", "github.push")
    await broker.publisher.publish(message())

    assert [await broker.read(queue, 1) for queue in ("all", "pushes")] == [
        [("id-1", "github.push", b"{}")]
    ] * 2
    assert await broker.is_empty("all")
    assert await broker.is_empty("pushes")


async def test_an_event_that_nobody_is_bound_for_is_kept_as_unrouted(broker: Broker) -> None:
    """A routing mistake is a full queue, not a loss."""
    await broker.bind("pushes", "stripe.#")
    await broker.publisher.publish(message())

    assert await broker.read(UNROUTED, 1) == [("id-1", "github.push", b"{}")]
    assert await broker.is_empty("pushes")


async def test_a_quarantined_event_is_in_the_quarantine_alone(broker: Broker) -> None:
    """Whatever its routing key, and though somebody takes all events."""
    await broker.bind("all", "#")
    await broker.publisher.publish(message(exchange=QUARANTINE))

    assert await broker.read(QUARANTINE, 1) == [("id-1", "github.push", b"{}")]
    assert await broker.is_empty("all")
    assert await broker.is_empty(UNROUTED)


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 262_129, 1024 * 1024])
async def test_bodies_of_any_size_arrive_whole(broker: Broker, size: int) -> None:
    """Around the size at which AMQP splits them into frames, too; the next event is none the worse."""
    await broker.bind("all", "#")
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    await broker.publisher.publish(message(1, body=body))
    await broker.publisher.publish(message(2, body=b"next"))

    expected = [("id-1", "github.push", body), ("id-2", "github.push", b"next")]
    assert expected == await broker.read("all", 2)


async def test_a_thousand_concurrent_events_are_all_confirmed_and_all_there(broker: Broker) -> None:
    """In the order in which they were published."""
    await broker.bind("all", "#")
    events = [message(number, key=f"github.e{number % 7}", body=b"%d" % number) for number in range(1000)]
    await asyncio.gather(*(broker.publisher.publish(event) for event in events))

    expected = [(event.message_id, event.routing_key, event.body) for event in events]
    assert expected == await broker.read("all", 1000)
    assert await broker.is_empty("all")
    assert broker.publisher.unconfirmed == 0


async def test_a_cancelled_caller_does_not_disturb_the_others(broker: Broker) -> None:
    """Its event may arrive; the others' confirms are still theirs."""
    await broker.bind("all", "#")

    async def publish(number: int) -> None:
        await broker.publisher.publish(message(number))

    tasks = [asyncio.ensure_future(publish(number)) for number in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await publish(99)

    assert answers[1::2] == [None] * 20


async def test_a_memory_publisher_fails_as_it_is_told() -> None:
    """For tests of what happens then."""
    publisher = MemoryPublisher()
    publisher.unavailable_reason = "on holiday"
    with pytest.raises(PublishUnavailable, match="on holiday"):
        await publisher.publish(message())

    assert publisher.messages == []


async def test_a_failing_sqlite_file_is_an_unavailable_broker(tmp_path: Path) -> None:
    """And nothing counts as waiting for ever."""
    database = Database(tmp_path)
    async with started(SqlitePublisher(database, EXCHANGE)) as publisher:
        await database.run(lambda connection: connection.execute("DROP TABLE messages"))
        with pytest.raises(PublishUnavailable, match="messages"):
            await publisher.publish(message())

        assert publisher.unconfirmed == 0


async def test_events_published_to_sqlite_are_there_in_the_next_process(tmp_path: Path) -> None:
    """The promise of the confirm, through a connection that knows nothing of the first."""
    first = SqliteBroker(tmp_path)
    async with started(first.publisher):
        await first.publisher.publish(message())

    assert await SqliteBroker(tmp_path).read(UNROUTED, 1) == [("id-1", "github.push", b"{}")]


# RabbitMQ alone


async def test_messages_have_the_properties_of_the_contract(rabbitmq_url: str) -> None:
    """Persistent, identified, typed, and with headers to filter by."""
    async with rabbit(rabbitmq_url) as broker:
        await broker.bind("all", "#")
        await broker.publisher.publish(message(body=b'{"x":1}'))
        got = await broker.take("all")

    assert got.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert got.message_id == "id-1"
    assert got.type == "com.github.push"
    assert got.content_type == "application/cloudevents+json"
    assert got.app_id == "webhook-gateway"
    assert got.headers == message().headers
    assert got.exchange == EXCHANGE
    assert got.routing_key == "github.push"


async def default_limits(url: str) -> dict[str, int]:
    """What is declared because RabbitMQ would otherwise drop a message that was returned twenty times."""
    async with await aio_pika.connect(url) as connection:
        major = int(DeclaringChannel(connection).server_version.partition(".")[0])
    return {"x-delivery-limit": 1_000_000} if major >= 4 else {}


async def test_the_exchanges_and_queues_are_durable_quorum_and_topic(rabbitmq_url: str) -> None:
    """Declared again as the contract has them, they are found to be the same; else RabbitMQ would refuse."""
    async with rabbit(rabbitmq_url) as broker:
        channel = broker.channel
        await channel.declare_exchange(
            EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True, arguments={"alternate-exchange": UNROUTED}
        )
        await channel.declare_exchange(QUARANTINE, aio_pika.ExchangeType.TOPIC, durable=True)
        arguments: dict[str, Any] = {"x-queue-type": "quorum", **await default_limits(rabbitmq_url)}
        for queue in (UNROUTED, QUARANTINE):
            await channel.declare_queue(queue, durable=True, arguments=arguments)


async def test_a_refused_event_is_not_published(rabbitmq_url: str) -> None:
    """A full queue that rejects answers with a nack; the events before and after it have answers of their own."""
    async with rabbit(rabbitmq_url) as broker:
        full = await broker.channel.declare_queue(
            "full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await full.bind(EXCHANGE, "github.full")
        await broker.publisher.publish(message(1, key="github.full"))

        async def is_refused() -> bool:
            with pytest.raises(PublishUnavailable, match="nack"):
                await broker.publisher.publish(message(2, key="github.full"))
            return True

        assert await is_refused()
        answers = await asyncio.gather(
            broker.publisher.publish(message(3)),
            broker.publisher.publish(message(4, key="github.full")),
            broker.publisher.publish(message(5)),
            return_exceptions=True,
        )

    assert [type(answer) for answer in answers] == [type(None), PublishUnavailable, type(None)]


async def test_an_event_that_is_returned_is_not_published(rabbitmq_url: str) -> None:
    """RabbitMQ confirms what it could not route, after it returned it: without an alternate exchange, a loss."""
    async with rabbit(rabbitmq_url) as broker:
        await broker.bind("issues", "github.issues")
        await broker.channel.exchange_delete(UNROUTED)
        answers = await asyncio.gather(
            broker.publisher.publish(message(1, body=b"x" * 300_000)),
            broker.publisher.publish(message(2, key="github.issues")),
            broker.publisher.publish(message(3, body=b"")),
            return_exceptions=True,
        )

        assert [str(answer) for answer in answers] == [
            "returned by the broker: NO_ROUTE",
            "None",
            "returned by the broker: NO_ROUTE",
        ]
        assert await broker.read("issues", 1) == [("id-2", "github.issues", b"{}")]


async def test_a_deleted_exchange_is_declared_again(rabbitmq_url: str) -> None:
    """All that was under way on the channel fails, none of it as a success; then publishing goes on."""
    async with rabbit(rabbitmq_url) as broker:
        await broker.channel.exchange_delete(EXCHANGE)
        answers = await asyncio.gather(
            *(broker.publisher.publish(message(number)) for number in range(10)), return_exceptions=True
        )
        assert [PublishUnavailable] * 10 == [type(answer) for answer in answers]
        await wait_until_async(lambda: broker.publisher.unavailable_reason, PATIENCE, "the loss is noticed")
        await wait_until_async(
            lambda: not broker.publisher.unavailable_reason, PATIENCE, "it is connected again"
        )
        await broker.bind("all", "#")
        await broker.publisher.publish(message("after"))

        assert await broker.read("all", 1) == [("id-after", "github.push", b"{}")]


async def test_an_exchange_that_is_not_declared_is_nobody_elses_trouble(rabbitmq_url: str) -> None:
    """RabbitMQ would close the channel on everybody: what was spooled for another exchange is not sent at all."""
    async with rabbit(rabbitmq_url) as broker:
        with pytest.raises(PublishUnavailable, match="'renamed'"):
            await broker.publisher.publish(message(exchange="renamed"))
        await broker.publisher.publish(message())

        assert not broker.publisher.unavailable_reason


async def test_a_killed_broker_fails_publishes_and_is_found_again(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    """What was confirmed before is still there; a gateway started while it was away waits for it."""
    async with rabbit(rabbitmq_url) as broker:
        publisher = broker.publisher
        await asyncio.gather(*(publisher.publish(message(number)) for number in range(100)))
        rabbitmq_server.kill()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(PublishUnavailable):
                await publisher.publish(message("lost"))
        await wait_until_async(lambda: publisher.unavailable_reason, PATIENCE, "the loss is noticed")
        late = RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE)
        await late.start()
        with pytest.raises(PublishUnavailable):
            await late.publish(message("lost"))
        await wait_until_async(lambda: "onnect" in late.unavailable_reason, PATIENCE, "the refusal is known")

        await asyncio.to_thread(rabbitmq_server.start)
        for each in (publisher, late):

            def is_connected(one: RabbitPublisher = each) -> bool:
                return not one.unavailable_reason

            await wait_until_async(is_connected, PATIENCE, "connected")

            async def is_published(one: Publisher = each) -> bool:
                await one.publish(message("after"))
                return True

            # The queue elects its leader after the broker has opened its door.
            await wait_until_async(
                awaitable(is_published), 60.0, "an event is confirmed", forgive=(PublishUnavailable,)
            )
        await late.stop()

        async with await aio_pika.connect(rabbitmq_url) as connection:
            reader = RabbitBroker(rabbitmq_url, await connection.channel())
            kept = {message_id for message_id, _, _ in await reader.read(UNROUTED, 102)}
    assert {f"id-{number}" for number in range(100)} | {"id-after"} <= kept


async def test_a_suspended_broker_fails_publishes_after_the_confirm_timeout(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    """Nothing hangs, and the confirm that comes too late disturbs nobody."""
    async with rabbit(rabbitmq_url, timeout=0.3) as broker:
        await broker.bind("all", "#")
        rabbitmq_server.suspend()
        try:
            async with asyncio.timeout(PATIENCE):
                answers = await asyncio.gather(
                    *(broker.publisher.publish(message(number)) for number in range(5)),
                    return_exceptions=True,
                )
        finally:
            rabbitmq_server.resume()
        assert [str(answer) for answer in answers] == ["not confirmed within 0.3 s"] * 5

        async def is_published() -> bool:
            await broker.publisher.publish(message("after"))
            return True

        await wait_until_async(
            awaitable(is_published), PATIENCE, "it works again", forgive=(PublishUnavailable,)
        )
        await wait_until_async(lambda: broker.publisher.unconfirmed == 0, PATIENCE, "the late confirms came")


async def test_an_alarm_of_the_broker_is_trouble_until_it_clears(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer
) -> None:
    """RabbitMQ reads nothing while it has too little memory: then publishing fails at once, with its reason."""
    async with rabbit(rabbitmq_url, timeout=1.0) as broker:
        publisher = broker.publisher
        await asyncio.to_thread(rabbitmq_server.ctl, "set_vm_memory_high_watermark", "0.0000001")
        try:

            async def is_blocked() -> bool:
                with pytest.raises(PublishUnavailable):
                    await publisher.publish(message("blocked"))
                return bool(publisher.unavailable_reason)

            # RabbitMQ tells a connection of the alarm when it publishes.
            await wait_until_async(awaitable(is_blocked), PATIENCE, "the alarm is noticed")
            assert "takes no messages" in publisher.unavailable_reason
            assert "memory" in publisher.unavailable_reason
            with pytest.raises(PublishUnavailable, match="takes no messages"):
                await publisher.publish(message("refused"))
        finally:
            await asyncio.to_thread(rabbitmq_server.ctl, "set_vm_memory_high_watermark", "0.6")
        await wait_until_async(lambda: not publisher.unavailable_reason, PATIENCE, "the alarm has cleared")
        await broker.bind("all", "#")
        await publisher.publish(message("after"))

        assert await broker.read("all", 1) == [("id-after", "github.push", b"{}")]


async def trouble_of(url: str, word: str) -> str:
    """What a publisher that cannot connect says, once it says ``word``."""
    publisher = RabbitPublisher(BrokerNodes(url), EXCHANGE)
    await publisher.start()
    try:
        await wait_until_async(
            lambda: word in publisher.unavailable_reason, PATIENCE, f"the trouble tells of {word}"
        )
        with pytest.raises(PublishUnavailable, match=word):
            await publisher.publish(message())
        return publisher.unavailable_reason
    finally:
        await publisher.stop()


async def test_a_wrong_password_is_told_in_words(rabbitmq_url: str) -> None:
    """In the trouble that readiness shows; without the password."""
    unavailable_reason = await trouble_of(
        rabbitmq_url.replace("guest:guest@", "guest:wrong-staple@"), "ACCESS_REFUSED"
    )

    assert "403 " in unavailable_reason
    assert "wrong-staple" not in unavailable_reason


async def test_a_wrong_virtual_host_is_told_in_words(rabbitmq_url: str) -> None:
    """With its name."""
    unavailable_reason = await trouble_of(rabbitmq_url.rpartition("/")[0] + "/nowhere", "nowhere")

    assert "530 NOT_ALLOWED" in unavailable_reason


async def test_an_exchange_of_another_type_is_told_in_words(rabbitmq_url: str) -> None:
    """Somebody else had the name first."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.FANOUT, durable=True)
    unavailable_reason = await trouble_of(rabbitmq_url, "PRECONDITION_FAILED")

    assert EXCHANGE in unavailable_reason
