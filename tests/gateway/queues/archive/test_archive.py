"""The archive has what was published, for its time; a replay takes from it what is asked for, to one queue."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from structlog.testing import capture_logs

from gateway.backends import open_archive
from gateway.config import Config
from gateway.events.message import Message
from gateway.publishers import Publisher, PublishUnavailable, Retention, rabbitmq
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.archive import Archived, NotThere, Replay, mark_replayed
from gateway.queues.archive import rabbitmq as archive_rabbitmq
from gateway.queues.embedded import SqliteConsumer
from gateway.queues.filter import EventFilter
from gateway.signatures.times import rfc3339_milliseconds
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from support.rabbitmq_server import RabbitMQServer
from support.waiting import PATIENCE, wait_until_async

EXCHANGE = "webhooks"
ARCHIVE = "webhooks.archive"
UNROUTED = "webhooks.unrouted"
WORKER = "billing-agent"
RETENTION = Retention(max_age=7 * 86_400, max_size=10 * 1024**3)
KEYS = ["stripe.invoice.paid", "stripe.invoice.payment_failed", "stripe.charge.failed", "github.invoice.paid"]
LONG_AGO, FAR_OFF = 0.0, 4e9


def _texts(headers: Mapping[str, str | int]) -> dict[str, str]:
    return {name: str(value) for name, value in headers.items()}


def event(number: int, key: str = "github.push", received_at: float = 1e9) -> Message:
    """An event that is told from others by its number."""
    provider, _, kind = key.partition(".")
    body = {"specversion": "1.0", "id": f"id-{number}", "receivedat": rfc3339_milliseconds(received_at)}
    return Message(
        exchange=EXCHANGE,
        routing_key=key,
        message_id=f"id-{number}",
        type=f"com.{key}",
        headers={"provider": provider, "eventtype": kind},
        body=json.dumps(body).encode()[:-1] + b',"data": [1.0,  2] }',
    )


def configured(folder: Path, url: str) -> Config:
    """The configuration of a gateway there."""
    return Config.model_validate(
        {
            "data_dir": folder,
            "rabbitmq": {"url": url},
            "providers": {"github": {"adapter": "github", "secrets": ["not-a-real-secret-0123"]}},
        }
    )


class Side:
    """A gateway's publisher with an archive, and the queue of a worker; on either broker.

    Attributes:
        config: of the gateway.
        publisher: started, its broker there.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.config = configured(folder, url)
        self._database = Database(folder)
        self._url = url
        self.publisher: Publisher = (
            SqlitePublisher(self._database, EXCHANGE, RETENTION)
            if url == "embedded"
            else RabbitPublisher(BrokerNodes(url), EXCHANGE, 20.0, RETENTION)
        )

    async def publish(self, *messages: Message) -> None:
        """Publish, and wait for the confirms."""
        for start in range(0, len(messages), 1000):
            await asyncio.gather(*map(self.publisher.publish, messages[start : start + 1000]))

    async def make_queue(self, *patterns: str) -> None:
        """The queue of the worker, bound for these events."""
        if self._url == "embedded":
            consumer = SqliteConsumer(self._database, WORKER, [(EXCHANGE, pattern) for pattern in patterns])
            await consumer.start()
            await consumer.stop()
            return
        async with await aio_pika.connect(self._url) as connection:
            queue = await (await connection.channel()).declare_queue(
                WORKER, durable=True, arguments={"x-queue-type": "quorum"}
            )
            for pattern in patterns:
                await queue.bind(EXCHANGE, pattern)

    async def received(self, count: int, queue: str = WORKER) -> list[Message]:
        """All that is in the queue, which comes to have ``count`` messages and no more."""
        if self._url == "embedded":
            consumer = SqliteConsumer(self._database, queue)
            await consumer.start()
            deliveries = await consumer.receive(count + 1)
            await consumer.acknowledge(*deliveries)
            await consumer.stop()
            return [
                Message("", each.routing_key, each.message_id, "", _texts(each.headers), each.body)
                for each in deliveries
            ]
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            source, found = await channel.get_queue(queue, ensure=False), list[Message]()

            async def is_all() -> bool:
                while message := await source.get(no_ack=True, fail=False):
                    headers = {name: str(value) for name, value in message.headers.items()}
                    headers.pop("x-delivery-count", None)
                    key = headers.pop("x-routing-key", message.routing_key or "")
                    found.append(Message("", key, message.message_id or "", "", headers, message.body))
                return len(found) >= count

            condition: Callable[[], bool | Awaitable[bool]] = is_all
            await wait_until_async(condition, PATIENCE, f"{count} messages are in {queue}")
            return found

    async def replay(
        self, event_filter: EventFilter, limit: int | None = None, *, is_forced: bool = False
    ) -> Replay:
        """A whole run to the queue of the worker."""
        async with open_archive(self.config) as archive:
            await archive.open_queue(WORKER)
            replay = Replay(
                archive,
                event_filter,
                lambda message: archive.deliver(WORKER, mark_replayed(message, is_forced=is_forced)),
                limit,
            )
            await replay.run()
        return replay


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


@pytest.fixture(params=["sqlite", "rabbitmq"])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    """Either broker, with nothing in its queues."""
    url = "embedded" if request.param == "sqlite" else request.getfixturevalue("rabbitmq_url")
    side = Side(tmp_path, url)
    async with started(side.publisher):
        yield side


async def test_of_ten_thousand_archived_events_those_asked_for_are_replayed(side: Side) -> None:
    """All of them, in their order, marked, and otherwise what they were; the others are not."""
    events = [event(number, KEYS[number % 4]) for number in range(10_000)]
    await side.publish(*events)
    await side.make_queue()
    replay = await side.replay(EventFilter("stripe", "invoice.*", since=LONG_AGO, until=FAR_OFF))
    asked_for = [each for number, each in enumerate(events) if number % 4 < 2]

    assert (replay.read, replay.delivered) == (10_000, 5_000)
    assert await side.received(5_000) == [
        Message(
            "",
            each.routing_key,
            each.message_id,
            "",
            each.headers | {"x-replayed": "true"},
            b'{"replayed":true,' + each.body.removeprefix(b"{"),
        )
        for each in asked_for
    ]


@pytest.mark.parametrize(
    ("event_filter", "limit", "numbers"),
    [
        (EventFilter(since=1e9 + 3, until=FAR_OFF), None, [3, 4, 5]),
        (EventFilter(since=LONG_AGO, until=1e9 + 2), None, [0, 1, 2]),
        (EventFilter(since=1e9 + 1, until=1e9 + 4), 2, [1, 2]),
        (EventFilter("stripe", since=LONG_AGO, until=FAR_OFF), None, [1, 2, 3, 5]),
        (EventFilter(None, "invoice.#", since=LONG_AGO, until=FAR_OFF), None, [0, 1, 2, 4, 5]),
        (
            EventFilter("stripe", "invoice.paid", {"id-5", "id-1"}, since=LONG_AGO, until=FAR_OFF),
            None,
            [1, 5],
        ),
        (EventFilter(ids={"id-0"}, since=LONG_AGO, until=FAR_OFF), None, [0]),
        (EventFilter(since=FAR_OFF, until=FAR_OFF), None, []),
    ],
)
async def test_a_selection_holds_all_that_it_names(
    side: Side, event_filter: EventFilter, limit: int | None, numbers: list[int]
) -> None:
    """Times, provider, event type, ids and number together; what is no event of ours is none of them."""
    keys = [KEYS[3], KEYS[0], KEYS[1], KEYS[2], KEYS[3], KEYS[0]]
    await side.publish(*(event(number, key, 1e9 + number) for number, key in enumerate(keys)))
    for body in (b"", b"[]", b'{"receivedat":1}', b'{"receivedat":"soon"}'):
        await side.publish(Message(EXCHANGE, KEYS[0], "id-1", "", {}, body))
    await side.make_queue()
    replay = await side.replay(event_filter, limit, is_forced=True)
    received = await side.received(len(numbers))

    assert [f"id-{number}" for number in numbers] == [each.message_id for each in received]
    assert len({each.headers["x-replay-force"] for each in received}) == len(received)
    assert replay.delivered == len(numbers)


async def test_reading_begins_at_the_time_and_ends_with_what_there_is(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the first event of the archive; and where nothing is that new, nothing is read."""
    monkeypatch.setattr(archive_rabbitmq, "_MAX_CLOCK_SKEW", 0.0)
    await side.make_queue()
    await side.publish(*(event(number) for number in range(50)))
    between = int(time.time()) + 1  # a broker is asked in whole seconds
    await wait_until_async(lambda: time.time() > between, PATIENCE, "the second is over")
    await side.publish(*(event(number, received_at=time.time() + 1) for number in range(50, 60)))
    later = await side.replay(EventFilter(since=between, until=FAR_OFF))
    nothing = await side.replay(EventFilter(since=time.time() + 60, until=FAR_OFF))

    assert (later.read, later.delivered, nothing.read, nothing.delivered) == (10, 10, 0, 0)


async def test_a_replay_ends_though_events_keep_coming(side: Side) -> None:
    """With those that were there when it began."""
    await side.make_queue()
    await side.publish(*(event(number) for number in range(500)))

    async def keep_publishing() -> None:
        for number in range(1_000_000):
            await side.publish(event(number, "stripe.charge.failed", time.time()))

    publishing = asyncio.create_task(keep_publishing())
    async with asyncio.timeout(PATIENCE):
        replay = await side.replay(EventFilter("github", since=LONG_AGO, until=FAR_OFF))
    publishing.cancel()

    assert replay.delivered == 500


async def test_where_there_is_no_archive_or_no_queue_it_is_told(side: Side, tmp_path: Path) -> None:
    """In one line, before anything is read."""
    with pytest.raises(NotThere, match="no queue 'billing-agent'"):
        await side.replay(EventFilter(since=LONG_AGO, until=FAR_OFF))
    elsewhere = side.config.rabbitmq.model_copy(update={"exchange": "elsewhere"})
    away = side.config.model_copy(update={"data_dir": tmp_path / "away", "rabbitmq": elsewhere})
    with pytest.raises(NotThere, match="there is no archive"):
        async with open_archive(away):
            pass


async def test_a_cancelled_replay_counts_what_it_began(side: Side) -> None:
    """Each event under way is delivered and counted; the rest is not begun."""
    await side.publish(*(event(number) for number in range(300)))
    begun: list[Message] = []
    may_end = asyncio.Event()

    async def deliver(message: Message) -> None:
        begun.append(message)
        await may_end.wait()

    async with open_archive(side.config) as archive:
        replay = Replay(archive, EventFilter(since=LONG_AGO, until=FAR_OFF), deliver)
        run = asyncio.create_task(replay.run())
        await wait_until_async(lambda: begun, PATIENCE, "it delivers")
        run.cancel()
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        with pytest.raises(asyncio.CancelledError):
            await run

    assert 0 < replay.delivered == len(begun) < 300


async def test_what_fails_ends_the_replay(side: Side) -> None:
    """With its cause, and what was delivered is counted."""
    await side.publish(*(event(number) for number in range(150)))

    async def deliver(message: Message) -> None:
        if message.message_id == "id-120":
            raise ConnectionError("no more")

    async with open_archive(side.config) as archive:
        replay = Replay(archive, EventFilter(since=LONG_AGO, until=FAR_OFF), deliver)
        with pytest.raises(ConnectionError, match="no more"):
            await replay.run()

    assert 100 <= replay.delivered < 150


# SQLite alone


async def archived_in(folder: Path, url: str = "embedded") -> list[Archived]:
    """All that the archive has."""
    async with open_archive(configured(folder, url)) as archive:
        return [each async for each in archive.read(LONG_AGO)]


async def test_the_embedded_archive_keeps_events_for_their_time_and_their_size(tmp_path: Path) -> None:
    """The oldest go, when others come; those that were quarantined were never there."""
    now, size = 1e9, len(event(10).body)
    retention = Retention(max_age=100.0, max_size=5 * size)
    publisher = SqlitePublisher(Database(tmp_path), EXCHANGE, retention, lambda: now)
    async with started(publisher):
        for number in range(10, 20):
            await publisher.publish(event(number))
            await publisher.publish(Message(f"{EXCHANGE}.quarantine", "github.push", "bad", "", {}, b"{}"))
        by_size = [each.message.message_id for each in await archived_in(tmp_path)]
        now += 101
        await publisher.publish(event(20))
        by_age = [each.message.message_id for each in await archived_in(tmp_path)]

    assert by_size == [f"id-{number}" for number in range(15, 20)]
    assert by_age == ["id-20"]


# RabbitMQ alone


async def test_a_gateway_that_starts_again_finds_its_archive(rabbitmq_url: str, tmp_path: Path) -> None:
    """Two at a time, and one after the other: each event is in the archive once, and in the queue once."""
    side, other = Side(tmp_path, rabbitmq_url), Side(tmp_path, rabbitmq_url)
    with capture_logs() as logs:
        async with started(side.publisher), started(other.publisher):
            await side.make_queue("#")
            await side.publish(event(1))
            await other.publish(event(2))
        async with started(RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE, 20.0, RETENTION)) as again:
            await again.publish(event(3))

    assert {line["log_level"] for line in logs} == {"info"}
    assert [each.message_id for each in await side.received(3)] == ["id-1", "id-2", "id-3"]
    archived = await archived_in(tmp_path, rabbitmq_url)
    assert [each.message.message_id for each in archived] == ["id-1", "id-2", "id-3"]


async def test_without_its_archive_a_gateway_leaves_it_alone(rabbitmq_url: str, tmp_path: Path) -> None:
    """It was switched off: events go where they went, and no longer into the archive."""
    async with started(RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE, 20.0, RETENTION)) as archiving:
        await archiving.publish(event(1))
    async with started(RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE, 20.0)) as plain:
        await plain.publish(event(2))
    unrouted = await Side(tmp_path, rabbitmq_url).received(2, UNROUTED)

    assert [each.message_id for each in unrouted] == ["id-1", "id-2"]
    assert [each.message.message_id for each in await archived_in(tmp_path, rabbitmq_url)] == ["id-1"]


@pytest.mark.parametrize(
    "other", [Retention(max_age=60.0, max_size=10 * 1024**3), Retention(max_age=7 * 86_400, max_size=1024**2)]
)
async def test_another_retention_changes_no_stream_and_stops_no_event(
    rabbitmq_url: str, tmp_path: Path, other: Retention
) -> None:
    """The log says what the broker has, and what to do."""
    async with started(RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE, 20.0, RETENTION)) as publisher:
        await publisher.publish(event(1))
    with capture_logs() as logs:
        async with started(RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE, 20.0, other)) as changed:
            await changed.publish(event(2))
    (warning,) = (line for line in logs if line["log_level"] == "warning")

    assert warning["event"] == "archive retention unchanged"
    assert "inequivalent arg" in warning["cause"]
    assert "policy" in warning["advice"]
    assert len(await archived_in(tmp_path, rabbitmq_url)) == 2


async def test_another_queue_of_the_name_is_told_of(rabbitmq_url: str) -> None:
    """What is no stream is not taken for one with another retention."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await (await connection.channel()).declare_queue(ARCHIVE, durable=True)
    publisher = RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE, 20.0, RETENTION)
    await publisher.start()
    await wait_until_async(
        lambda: "PRECONDITION_FAILED" in publisher.unavailable_reason, PATIENCE, "it is told"
    )
    with pytest.raises(PublishUnavailable, match=ARCHIVE):
        await publisher.publish(event(1))
    await publisher.stop()


@pytest.mark.parametrize("taken", ["stream", "fanout", "topic", "unrouted"])
async def test_what_is_taken_away_is_declared_again(
    rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    """Though nothing is returned of what reaches the archive: soon events go all their ways again."""
    monkeypatch.setattr(rabbitmq, "REDECLARE_INTERVAL", 0.3)
    monkeypatch.setattr(archive_rabbitmq, "_EMPTY_TIMEOUT", 1.0)
    side = Side(tmp_path, rabbitmq_url)
    async with started(side.publisher), await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        match taken:
            case "stream":
                await channel.queue_delete(ARCHIVE)
            case "fanout":
                await channel.exchange_delete(ARCHIVE)
            case "topic":
                await channel.exchange_delete(EXCHANGE)
            case _:
                await channel.queue_delete(UNROUTED)
        sent = Counter[str]()

        async def goes_all_its_ways() -> bool:
            await side.publish(event(sent.total()))
            sent.update(["event"])
            archived = [each.message.message_id for each in await archived_in(tmp_path, rabbitmq_url)]
            unrouted = [each.message_id for each in await side.received(0, UNROUTED)]
            return f"id-{sent.total() - 1}" in set(archived) & set(unrouted)

        condition: Callable[[], bool | Awaitable[bool]] = goes_all_its_ways
        await wait_until_async(
            condition,
            PATIENCE,
            "an event is archived and unrouted",
            forgive=(PublishUnavailable, NotThere, aio_pika.exceptions.AMQPError),
        )


async def test_after_a_restart_of_the_broker_the_archive_is_read_to_its_end(
    rabbitmq_url: str, rabbitmq_server: RabbitMQServer, tmp_path: Path
) -> None:
    """What was confirmed is there, and no more is waited for."""
    async with started(RabbitPublisher(BrokerNodes(rabbitmq_url), EXCHANGE, 20.0, RETENTION)) as publisher:
        await asyncio.gather(*(publisher.publish(event(number)) for number in range(500)))
    for command in ("stop_app", "start_app"):
        await asyncio.to_thread(rabbitmq_server.ctl, command)

    async def has_all() -> bool:
        return len(await archived_in(tmp_path, rabbitmq_url)) == 500

    condition: Callable[[], bool | Awaitable[bool]] = has_all
    await wait_until_async(condition, PATIENCE, "all is there", forgive=(OSError, NotThere))
