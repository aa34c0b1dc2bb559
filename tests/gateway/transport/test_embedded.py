"""The embedded store: durable group commits, and queues that lose nothing with a consumer."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path

import pytest

from gateway.backends import open_tail
from gateway.config import Config
from gateway.events.message import Message
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.embedded import QueuedMessage, SqliteConsumer
from gateway.transport.embedded import FILE_NAME, Database
from support.waiting import PATIENCE, wait_until_async

EXCHANGE = "webhooks"
HEADERS = {"provider": "github"}
VISIBILITY = 30.0


class Clock:
    """A clock that stands still until it is told to move; far ahead, so that everything published is visible."""

    def __init__(self) -> None:
        self.now = 4_000_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def message(number: int | str, key: str = "github.push") -> Message:
    """An event that is told from others by its number."""
    return Message(EXCHANGE, key, f"id-{number}", "com.github.push", HEADERS, b"%b" % str(number).encode())


@asynccontextmanager
async def publishing(folder: Path) -> AsyncIterator[SqlitePublisher]:
    """A publisher to the queues of this folder."""
    publisher = SqlitePublisher(Database(folder), EXCHANGE)
    await publisher.start()
    yield publisher
    await publisher.stop()


@asynccontextmanager
async def consuming(
    folder: Path, *patterns: str, queue: str = "work", clock: Clock | None = None, lives: float | None = None
) -> AsyncIterator[SqliteConsumer]:
    """A consumer of one queue of this folder."""
    bindings = [(EXCHANGE, pattern) for pattern in patterns]
    consumer = SqliteConsumer(
        Database(folder), queue, bindings, visibility_timeout=VISIBILITY, clock=clock or Clock()
    )
    await consumer.start(lives)
    yield consumer
    await consumer.stop()


def ids(deliveries: list[QueuedMessage]) -> list[str]:
    """Which messages these are."""
    return [delivery.message_id for delivery in deliveries]


@asynccontextmanager
async def routing(folder: Path) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """What publishes an event, and returns the queues that have got it."""
    published = count()
    async with publishing(folder) as publisher:

        async def publish() -> list[str]:
            number = next(published)
            await publisher.publish(message(number))
            with closing(sqlite3.connect(folder / FILE_NAME)) as file:
                rows = file.execute(
                    "SELECT queue FROM messages WHERE message_id = ? ORDER BY queue", (f"id-{number}",)
                )
                return [queue for (queue,) in rows]

        yield publish


def change(folder: Path, *statements: str) -> None:
    """Change the file as another program does."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as file, file:
        for each in ("PRAGMA foreign_keys = ON", *statements):
            file.execute(each)


async def test_bindings_that_change_are_known_at_once(tmp_path: Path) -> None:
    """Made and removed by another program, and gone with a queue that has expired."""
    async with routing(tmp_path) as publish:
        assert await publish() == ["webhooks.unrouted"]
        async with consuming(tmp_path, "github.*", "*.push"):
            assert await publish() == ["work"]
        change(tmp_path, "DELETE FROM bindings WHERE pattern = '*.push'")
        assert await publish() == ["work"]
        async with consuming(tmp_path, "#", queue="tail", lives=60.0):
            assert await publish() == ["tail", "work"]
            change(tmp_path, "UPDATE queues SET expires_at = 1 WHERE name = 'tail'")
            assert await publish() == ["work"]
        change(tmp_path, "DELETE FROM queues WHERE name = 'work'")
        assert await publish() == ["webhooks.unrouted"]


async def test_a_change_of_bindings_that_is_rolled_back_was_none(tmp_path: Path) -> None:
    """Also where the next change is seen by nobody before it is made."""
    async with routing(tmp_path) as publish:
        for _ in range(2):
            with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
                file.execute("INSERT INTO queues VALUES ('gone', NULL)")
                file.execute("INSERT INTO bindings VALUES (?, 'gone', '#')", (EXCHANGE,))
                file.rollback()
            assert await publish() == ["webhooks.unrouted"]
        async with consuming(tmp_path, "#"):
            assert await publish() == ["work"]


async def test_messages_come_in_order_with_all_that_was_published(tmp_path: Path) -> None:
    """Oldest first, at most as many as asked for, none when there are none."""
    async with consuming(tmp_path, "#") as consumer, publishing(tmp_path) as publisher:
        assert await consumer.receive() == []
        for number in range(5):
            await publisher.publish(message(number, "github.issues.opened"))
        first = await consumer.receive()
        rest = await consumer.receive(limit=10)

    assert [QueuedMessage(first[0].tag, "github.issues.opened", "id-0", b"0", 1, HEADERS)] == first
    assert ids(rest) == ["id-1", "id-2", "id-3", "id-4"]


async def test_a_message_that_was_received_is_invisible_until_the_timeout(tmp_path: Path) -> None:
    """And is delivered again then, with a count: its consumer may have died."""
    clock = Clock()
    async with consuming(tmp_path, "#", clock=clock) as consumer, publishing(tmp_path) as publisher:
        await publisher.publish(message(1))
        await consumer.receive()
        clock.now += VISIBILITY - 0.001
        assert await consumer.receive() == []
        clock.now += 0.002
        (again,) = await consumer.receive()

    assert (again.message_id, again.deliveries) == ("id-1", 2)


async def test_an_acknowledged_message_is_gone_for_good(tmp_path: Path) -> None:
    """The others of the same batch are not."""
    clock = Clock()
    async with consuming(tmp_path, "#", clock=clock) as consumer, publishing(tmp_path) as publisher:
        for number in range(3):
            await publisher.publish(message(number))
        deliveries = await consumer.receive(limit=3)
        await consumer.acknowledge(deliveries[0], deliveries[2])
        clock.now += VISIBILITY + 1

        assert ids(await consumer.receive(limit=3)) == ["id-1"]


async def test_a_message_that_is_handed_back_is_delivered_at_once(tmp_path: Path) -> None:
    """Without waiting for the timeout."""
    async with consuming(tmp_path, "#") as consumer, publishing(tmp_path) as publisher:
        await publisher.publish(message(1))
        await consumer.requeue(*await consumer.receive())
        (again,) = await consumer.receive()

    assert (again.message_id, again.deliveries) == ("id-1", 2)


async def test_bindings_decide_and_the_rest_is_unrouted(tmp_path: Path) -> None:
    """By pattern; every queue that matches gets a copy of its own."""
    async with (
        consuming(tmp_path, "github.#", "*.push", queue="one") as one,
        consuming(tmp_path, "*.push", queue="two") as two,
        publishing(tmp_path) as publisher,
        consuming(tmp_path, queue="webhooks.unrouted") as unrouted,
    ):
        await publisher.publish(message(1, "github.push"))
        await publisher.publish(message(2, "gitlab.push"))
        await publisher.publish(message(3, "stripe.charge.refunded"))

        assert ids(await one.receive(9)) == ["id-1", "id-2"]
        assert ids(await two.receive(9)) == ["id-1", "id-2"]
        assert ids(await unrouted.receive(9)) == ["id-3"]


async def test_messages_wait_for_a_consumer_that_is_away(tmp_path: Path) -> None:
    """A durable queue fills while nobody reads it, and its bindings stay."""
    async with consuming(tmp_path, "#"):
        pass
    async with publishing(tmp_path) as publisher:
        await publisher.publish(message(1))
    async with consuming(tmp_path) as consumer:
        assert ids(await consumer.receive(9)) == ["id-1"]


async def test_a_temporary_queue_ends_with_its_time(tmp_path: Path) -> None:
    """Its messages with it, so that a reader that died leaves nothing behind; kept alive, it stays."""
    past, present = Clock(), Clock()
    past.now = 1_000.0
    async with publishing(tmp_path) as publisher:
        async with consuming(tmp_path, "#", queue="dead", clock=past, lives=60.0) as dead:
            await publisher.publish(message(1))
            assert await dead.receive() == []
            async with consuming(tmp_path, "#", queue="alive", clock=present, lives=60.0) as alive:
                await publisher.publish(message(2))
                assert ids(await alive.receive(9)) == ["id-2"]
        async with consuming(tmp_path, queue="webhooks.unrouted") as unrouted:
            assert ids(await unrouted.receive(9)) == ["id-1"]
        rows = sqlite3.connect(tmp_path / "embedded.db")
        names = {name for (name,) in rows.execute("SELECT name FROM queues")}
        rows.close()

    assert names == {"alive", "webhooks.unrouted", "webhooks.quarantine"}


async def test_a_deleted_queue_takes_its_messages_and_bindings_along(tmp_path: Path) -> None:
    """What comes later is routed without it."""
    async with consuming(tmp_path, "#") as consumer, publishing(tmp_path) as publisher:
        await publisher.publish(message(1))
        await consumer.delete()
        await publisher.publish(message(2))
        await consumer.declare(None)
        assert await consumer.receive(9) == []
        async with consuming(tmp_path, queue="webhooks.unrouted") as unrouted:
            assert ids(await unrouted.receive(9)) == ["id-2"]


async def test_a_consumer_can_be_iterated(tmp_path: Path) -> None:
    """It waits for what comes."""
    received: list[str] = []
    async with consuming(tmp_path, "#") as consumer, publishing(tmp_path) as publisher:

        async def work() -> None:
            async for delivery in consumer:
                received.append(delivery.message_id)
                await consumer.acknowledge(delivery)

        worker = asyncio.ensure_future(work())
        for number in range(3):
            await publisher.publish(message(number))
        await wait_until_async(lambda: len(received) == 3, PATIENCE, "all were received")
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    assert received == ["id-0", "id-1", "id-2"]


async def test_a_tail_sees_what_is_published_while_it_reads(tmp_path: Path) -> None:
    """By its pattern, beside all other consumers, and leaves no queue behind."""
    config = Config.model_validate(
        {
            "data_dir": str(tmp_path),
            "providers": {"github": {"adapter": "github", "secrets": ["a secret of the sender"]}},
        }
    )
    async with publishing(tmp_path) as publisher, consuming(tmp_path, "#") as worker:
        await publisher.publish(message("before"))
        async with open_tail(config, "github.#") as events:
            await publisher.publish(message("other", "stripe.charge"))
            await publisher.publish(message("seen"))
            async with asyncio.timeout(PATIENCE):
                assert await anext(events) == b"seen"
        assert ids(await worker.receive(9)) == ["id-before", "id-other", "id-seen"]
        await publisher.publish(message("after"))
    rows = sqlite3.connect(tmp_path / "embedded.db")
    names = [name for (name,) in rows.execute("SELECT name FROM queues WHERE name LIKE 'tail-%'")]
    rows.close()

    assert names == []


_PUBLISH = """
import asyncio, sys
from pathlib import Path
from gateway.transport.embedded import FILE_NAME, Database
from gateway.events.message import Message
from gateway.publishers.sqlite import SqlitePublisher

async def main(folder, who):
    publisher = SqlitePublisher(Database(Path(folder)), "webhooks")
    await publisher.start()
    for start in range(0, 100, 20):
        await asyncio.gather(*(
            publisher.publish(Message("webhooks", "github.push", f"{who}-{n}", "t", {}, b"{}"))
            for n in range(start, start + 20)
        ))
    print("confirmed", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_publish_into_one_queue_and_are_killed(tmp_path: Path) -> None:
    """Everything that was confirmed to either is there, once; and a third process reads it."""
    async with consuming(tmp_path, "#") as consumer:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", _PUBLISH, str(tmp_path), who], stdout=subprocess.PIPE, text=True
            )
            for who in ("a", "b")
        ]
        for process in processes:
            assert process.stdout
            assert await asyncio.to_thread(process.stdout.readline) == "confirmed\n"
            process.kill()
            process.wait()
            process.stdout.close()
        received = ids(await consumer.receive(limit=1000))

    assert sorted(f"{who}-{number}" for who in "ab" for number in range(100)) == sorted(received)


async def test_two_consumers_of_one_queue_share_its_messages(tmp_path: Path) -> None:
    """None gets what the other got."""
    async with (
        consuming(tmp_path, "#") as one,
        consuming(tmp_path, "#") as two,
        publishing(tmp_path) as publisher,
    ):
        await asyncio.gather(*(publisher.publish(message(number)) for number in range(40)))
        batches = await asyncio.gather(*(consumer.receive(5) for consumer in (one, two) * 4))

    assert sorted(f"id-{number}" for number in range(40)) == sorted(
        each for batch in batches for each in ids(batch)
    )


async def test_a_file_from_before_messages_had_headers_is_used_on(tmp_path: Path) -> None:
    """Its messages have none; new ones do."""
    async with consuming(tmp_path, "#") as consumer, publishing(tmp_path) as publisher:
        await publisher.publish(message(1))
    with closing(sqlite3.connect(Database(tmp_path).path)) as old, old:
        old.execute("ALTER TABLE messages DROP COLUMN headers")
    async with consuming(tmp_path, "#") as consumer, publishing(tmp_path) as publisher:
        await publisher.publish(message(2))
        received = await consumer.receive(limit=2)

    assert [(each.message_id, each.headers) for each in received] == [("id-1", {}), ("id-2", HEADERS)]


async def test_an_operation_is_committed_when_it_is_done(tmp_path: Path) -> None:
    """Seen by a connection that knows nothing of the first."""
    database = Database(tmp_path)
    await database.start()
    await database.run(lambda connection: connection.execute("INSERT INTO queues VALUES ('q', NULL)"))
    other = sqlite3.connect(database.path)
    assert other.execute("SELECT name FROM queues").fetchall() == [("q",)]
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    assert await database.run(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (2,)
    await database.stop()


async def test_a_failing_operation_leaves_nothing_of_its_batch(tmp_path: Path) -> None:
    """All who were in it are told, and the next batch is carried out."""
    database = Database(tmp_path)
    await database.start()
    first = database.run(lambda connection: connection.execute("INSERT INTO queues VALUES ('a', NULL)"))
    second = database.run(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(outcomes[1], sqlite3.OperationalError)
    rows = await database.run(lambda connection: connection.execute("SELECT name FROM queues").fetchall())
    assert rows == ([] if isinstance(outcomes[0], sqlite3.Error) else [("a",)])
    await database.stop()


async def test_a_bug_in_an_operation_does_not_stop_the_store(tmp_path: Path) -> None:
    """Whoever asked for it is told; nobody waits for ever."""
    database = Database(tmp_path)
    await database.start()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ZeroDivisionError):
            await database.run(lambda _: 1 // 0)
        assert await database.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
        await database.stop()


async def test_what_was_asked_for_is_carried_out_before_the_end(tmp_path: Path) -> None:
    """By stop, and only by that of the last user."""
    database = Database(tmp_path)
    await database.start()
    await database.start()
    await database.stop()

    def insert(number: int) -> asyncio.Future[sqlite3.Cursor]:
        return database.run(
            lambda connection: connection.execute("INSERT INTO queues VALUES (?, NULL)", (f"q{number}",))
        )

    pending = [insert(number) for number in range(50)]
    await database.stop()
    await asyncio.gather(*pending)
    other = sqlite3.connect(database.path)
    assert other.execute("SELECT count(*) FROM queues").fetchone() == (50,)
    other.close()


async def test_a_file_of_the_time_before_headers_is_used_on(tmp_path: Path) -> None:
    """With the messages that wait in it."""
    async with consuming(tmp_path, "#"), publishing(tmp_path) as publisher:
        await publisher.publish(message(1))
    with sqlite3.connect(Database(tmp_path).path) as old:
        old.execute("ALTER TABLE messages DROP COLUMN headers")
    old.close()

    async with consuming(tmp_path, "#") as consumer:
        (delivery,) = await consumer.receive()
    assert (delivery.message_id, delivery.headers) == ("id-1", {})


async def test_a_message_that_is_moved_waits_elsewhere_with_its_headers(tmp_path: Path) -> None:
    """For its delay; and who lost it meanwhile cannot settle it any more."""
    clock = Clock()
    async with (
        consuming(tmp_path, "#", clock=clock) as consumer,
        consuming(tmp_path, queue="other", clock=clock) as other,
        publishing(tmp_path) as publisher,
    ):
        await publisher.publish(message(1))
        (lost,) = await consumer.receive()
        assert await consumer.extend(lost)
        clock.now += VISIBILITY + 1
        (delivery,) = await consumer.receive()
        settled = [await consumer.acknowledge(lost), await consumer.move(lost, "other", {})]
        assert await consumer.move(delivery, "other", {"x-attempts": 1}, delay=5)
        early = await other.receive()
        clock.now += 6
        (moved,) = await other.receive()

    assert settled == [False, False]
    assert early == []
    assert (moved.body, moved.headers, moved.deliveries) == (b"1", {"provider": "github", "x-attempts": 1}, 1)


_ANOTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM messages").fetchone()[0])
connection.close()
"""


async def test_a_process_may_open_the_database_twice(tmp_path: Path) -> None:
    """The locks of the first connection hold, so that another process that ends does not remove its log."""
    first, second = Database(tmp_path), Database(tmp_path)
    publisher = SqlitePublisher(first, EXCHANGE)
    await publisher.start()
    await second.start()
    await second.stop()

    counts = []
    for number in range(3):
        await publisher.publish(message(number))
        done = subprocess.run(
            [sys.executable, "-c", _ANOTHER_PROCESS, str(first.path)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        counts.append(int(done.stdout))
    await publisher.stop()

    assert counts == [1, 2, 3]
