"""Workers on RabbitMQ with Redis, and on the embedded database: one set of promises."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import aio_pika
import orjson
import pytest
import redis

from gateway.queues.archive import mark_replayed
from gateway.worker import Dead, Event, Retry, Worker
from gateway.worker.queue import DeclarationChanged
from support.agents import LEASE, Place, connection_of, envelope, message_of
from support.redis_server import RedisServer
from support.waiting import PATIENCE, wait_until_async


def short(queue: str = "agent", **options: object) -> Worker:
    """Return a worker with delays of less than a second."""
    settings = {"attempts": 4, "retry_from": 0.2, "retry_most": 0.8, **options}
    return Worker(queue, ["stripe.#"], **settings)  # type: ignore[arg-type]


async def test_events_are_handled_and_those_without_a_handler_counted(place: Place) -> None:
    """With all attributes that the gateway sets, in a coroutine as well as in a thread."""
    worker = short()
    seen: dict[str, Event] = {}
    threads = set()

    @worker.on("stripe.invoice.*")
    async def coroutine(event: Event) -> None:
        seen[event.id] = event

    @worker.on("stripe.customer.created")
    def function(event: Event) -> None:
        threads.add(threading.current_thread() is threading.main_thread())
        seen[event.id] = event

    async with place.running(worker) as runner:
        await place.publish("evt_1", "evt_2")
        await place.publish("evt_3", eventtype="customer.created")
        await place.publish("evt_4", eventtype="charge.failed")
        await wait_until_async(lambda: runner.counts.total() == 4, PATIENCE)

    assert runner.counts == {"handled": 3, "unhandled": 1}
    assert seen.keys() == {"evt_1", "evt_2", "evt_3"}
    assert (seen["evt_1"].eventtype, seen["evt_1"].attempts) == ("invoice.paid", 1)
    assert threads == {False}
    assert await place.dead("agent") == []


async def test_a_failure_is_retried_with_backoff(place: Place) -> None:
    """No sooner than the delay says; the attempts are counted."""
    worker = short(attempts=5)
    began: list[tuple[int, float]] = []

    @worker.on("#")
    async def fail(event: Event) -> None:
        began.append((event.attempts, time.monotonic()))
        if event.attempts < 3:
            raise Retry(after=0.8)

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await wait_until_async(lambda: runner.counts["handled"] == 1, PATIENCE)

    delays = [later[1] - earlier[1] for earlier, later in pairwise(began)]
    assert runner.counts == {"retried": 2, "handled": 1}
    assert [attempt for attempt, _ in began] == [1, 2, 3]
    assert all(delay > 0.79 for delay in delays)


async def test_an_event_that_keeps_failing_is_dead_lettered_with_its_history(place: Place) -> None:
    """It keeps its body, and its headers say what an operator wants to know, but not the text of the exception."""
    worker = short(attempts=3)

    @worker.on("#")
    async def fail(event: Event) -> None:
        raise KeyError("secret of a customer")

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    (dead,) = await place.dead("agent")
    assert runner.counts == {"retried": 2, "dead": 1}
    assert dead.body == envelope("evt_1")
    assert dead.headers["x-reason"] == "failed 3 times"
    assert dead.headers["x-exception"] == "KeyError"
    assert dead.headers["x-attempts"] == 3
    assert dead.headers["x-queue"] == "agent"
    assert dead.headers["x-first-failed-at"] < dead.headers["x-last-failed-at"]
    assert "customer" not in str(dead.headers)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "not an event: not JSON"),
        (b'{"id": "evt_1"}', "not an event: not a CloudEvent 1.0"),
        (b'{"specversion": "1.0", "id": 7, "source": "/s", "type": "t"}', "not an event: id: "),
    ],
)
async def test_a_message_that_is_not_an_event_is_dead_lettered_at_once(
    place: Place, body: bytes, reason: str
) -> None:
    """Unchanged, and without an attempt; the next message is handled."""
    worker = short()
    worker.on("#")(lambda event: None)

    async with place.running(worker) as runner, place.publishing() as publisher:
        await publisher.publish(message_of(body))
        await publisher.publish(message_of(envelope("evt_1")))
        await wait_until_async(lambda: runner.counts.total() == 2, PATIENCE)

    (dead,) = await place.dead("agent")
    assert dead.body == body
    assert dead.headers["x-reason"].startswith(reason)


async def test_the_hopeless_is_dead_at_once(place: Place) -> None:
    """With the handler's reason, as far as it can be encoded."""
    worker = short()

    @worker.on("#")
    async def give_up(event: Event) -> None:
        raise Dead("no such customer \ud800" + "!" * 1000)

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    (dead,) = await place.dead("agent")
    assert dead.headers["x-reason"] == "no such customer ?" + "!" * 482
    assert dead.headers["x-attempts"] == 1


async def test_an_event_that_is_published_again_is_not_handled_again(place: Place) -> None:
    """Whether the first publication is done or still being handled."""
    worker = short(concurrency=5)
    seen: Counter[str] = Counter()
    go_on = asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        seen[event.id] += 1
        await go_on.wait()

    async with place.running(worker) as runner:
        await place.publish("evt_1", "evt_1")
        await wait_until_async(lambda: runner.counts["in_flight"] > 0, PATIENCE)
        go_on.set()
        await wait_until_async(lambda: runner.counts["duplicate"] == 1, PATIENCE)
        await place.publish("evt_1")
        await wait_until_async(lambda: runner.counts["duplicate"] == 2, PATIENCE)

    assert seen == {"evt_1": 1}


async def test_a_replay_is_handled_again_where_it_is_forced(place: Place) -> None:
    """Each forced replay is handled once although the event is done; an unforced one is a duplicate."""
    worker = short()
    seen: list[bool] = []

    @worker.on("#")
    async def handle(event: Event) -> None:
        seen.append(event.replayed)

    message = message_of(envelope("evt_1", "invoice.paid"), "stripe.invoice.paid", "evt_1")
    forced = mark_replayed(message, is_forced=True)
    async with place.running(worker) as runner, place.publishing() as publisher:
        await publisher.publish(message)
        await wait_until_async(lambda: runner.counts["handled"] == 1, PATIENCE)
        await publisher.publish(mark_replayed(message, is_forced=False))
        await wait_until_async(lambda: runner.counts["duplicate"] == 1, PATIENCE)
        await publisher.publish(forced)
        await wait_until_async(lambda: runner.counts["handled"] == 2, PATIENCE)
        await publisher.publish(forced)
        await wait_until_async(lambda: runner.counts["duplicate"] == 2, PATIENCE)

    assert seen == [False, True]


async def test_a_long_handler_keeps_its_event(place: Place) -> None:
    """Beyond the time of the lease, and beyond the visibility timeout of the embedded queue."""
    worker = short()
    seen: Counter[str] = Counter()

    @worker.on("#")
    async def handle(event: Event) -> None:
        seen[event.id] += 1
        await asyncio.sleep(LEASE * 1.5)

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await wait_until_async(lambda: seen["evt_1"] == 1, PATIENCE)
        await place.publish("evt_1")
        await wait_until_async(lambda: runner.counts["duplicate"] == 1, PATIENCE)

    assert seen == {"evt_1": 1}


async def test_a_step_that_was_done_is_skipped_by_the_next_attempt(place: Place) -> None:
    """A step that failed runs again; in a coroutine and in a thread."""
    worker = short()
    steps: Counter[str] = Counter()
    keys = set()

    @worker.on("stripe.invoice.*")
    async def coroutine(event: Event) -> None:
        async with event.once("pay") as first:
            steps["pay"] += first
            keys.add(event.key_of("pay"))
        async with event.once("mail") as first:
            steps["mail"] += first
            if event.attempts == 1:
                raise Retry
        if event.attempts == 2:
            raise Retry

    @worker.on("stripe.charge.*")
    def function(event: Event) -> None:
        with event.once("pay") as first:
            steps["pay in a thread"] += first
        if event.attempts < 3:
            raise ValueError

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await place.publish("evt_2", eventtype="charge.failed")
        await wait_until_async(lambda: runner.counts["handled"] == 2, PATIENCE)

    assert steps == {"pay": 1, "mail": 2, "pay in a thread": 1}
    assert len(keys) == 1


async def test_the_end_waits_for_handlers_and_requeues_the_rest(place: Place) -> None:
    """Events that finish within the grace are done; the others are delivered again, to the next process."""
    worker = short(concurrency=2, grace=1.0)
    started: list[str] = []
    may_finish = asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        started.append(event.id)
        if len(started) <= 2:
            await (may_finish if len(started) == 1 else asyncio.Event()).wait()

    async with place.running(worker) as runner:
        await place.publish("evt_1", "evt_2", "evt_3")
        await wait_until_async(lambda: len(started) == 2, PATIENCE)
        runner.end()
        may_finish.set()
    assert runner.counts == {"handled": 1, "requeued": 1}

    async with place.running(worker) as runner:
        await wait_until_async(lambda: runner.counts["handled"] == 2, PATIENCE)
    assert runner.counts == {"handled": 2}
    assert set(started) == {"evt_1", "evt_2", "evt_3"}
    assert len(started) == 4


async def test_a_changed_declaration_is_explained_and_nothing_changed(place: Place) -> None:
    """In one line, with the remedy."""
    await place.queue_of(Worker("agent", ["stripe.#"])).check()
    await place.queue_of(Worker("agent", ["stripe.#"])).check()
    other = Worker("agent", ["stripe.invoice.*"])

    with pytest.raises(DeclarationChanged) as caught:
        await place.queue_of(other).check()
    with pytest.raises(DeclarationChanged):
        await place.runner_of(other).run()

    assert "\n" not in str(caught.value)
    assert "stripe.invoice.*" in str(caught.value)
    assert "nothing was changed" in str(caught.value)
    await place.queue_of(Worker("agent", ["stripe.#"])).check()


async def test_a_queue_of_another_kind_is_explained(servers: Place) -> None:
    """It is neither used nor replaced."""
    async with await aio_pika.connect(servers.rabbitmq_url) as connection:
        await (await connection.channel()).declare_queue("agent", durable=True)

    with pytest.raises(DeclarationChanged, match="exists with other arguments; nothing was changed"):
        await servers.queue_of(short()).check()


async def test_a_connection_that_is_lost_is_made_again_and_nothing_is_repeated(
    servers: Place,
) -> None:
    """An event whose handler runs meanwhile is settled when it is delivered again."""
    worker = short()
    seen: Counter[str] = Counter()
    go_on = asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        seen[event.id] += 1
        await go_on.wait()
        if event.attempts == 1 and event.id == "evt_2":
            raise ValueError

    async with servers.running(worker) as runner:
        await servers.publish("evt_1", "evt_2")
        await wait_until_async(lambda: seen.total() == 2, PATIENCE)
        session = connection_of(runner).current
        assert session
        await session.connection.close()
        await wait_until_async(lambda: runner.counts["in_flight"] >= 2, PATIENCE)
        go_on.set()
        await wait_until_async(lambda: runner.counts["unsettled"] == 2, PATIENCE)
        await wait_until_async(lambda: runner.counts["handled"] == 1, PATIENCE)

    assert seen == {"evt_1": 1, "evt_2": 2}
    assert runner.counts["duplicate"] == 1
    assert runner.counts["retried"] == 1


async def test_without_redis_a_strict_worker_waits_and_a_lenient_one_does_not(
    servers: Place, redis_server: RedisServer
) -> None:
    """The events wait in the queue."""
    strict, lenient = short("strict"), short("lenient", guard="lenient")
    for worker in (strict, lenient):
        worker.on("#")(lambda event: None)

    async with servers.running(strict) as waiting, servers.running(lenient) as going_on:
        redis_server.kill()
        await servers.publish("evt_1", "evt_2")
        await wait_until_async(lambda: going_on.counts["handled"] == 2, PATIENCE)
        assert waiting.counts == {}
        redis_server.start()
        await wait_until_async(lambda: waiting.counts["handled"] == 2, PATIENCE)


async def test_an_event_done_without_redis_is_remembered_once_it_is_back(
    servers: Place, redis_server: RedisServer
) -> None:
    """The event is acknowledged all the same; a second publication finds it done."""
    worker = short()
    began, go_on = asyncio.Event(), asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        began.set()
        await go_on.wait()

    async with servers.running(worker) as runner:
        await servers.publish("evt_1")
        await asyncio.wait_for(began.wait(), PATIENCE)  # an event that is only in hand has no claim yet
        assert runner.idempotency
        store = runner.idempotency
        redis_server.kill()
        await wait_until_async(lambda: store.unavailable_reason, PATIENCE)
        go_on.set()
        await wait_until_async(lambda: runner.counts["handled"] == 1, PATIENCE)
        redis_server.start()
        with redis.Redis.from_url(servers.redis_url) as client:
            await wait_until_async(lambda: b"done" in map(client.get, client.keys("*")), PATIENCE)
        await servers.publish("evt_1")
        await wait_until_async(lambda: runner.counts["duplicate"] == 1, PATIENCE)


async def test_a_message_that_comes_back_again_and_again_is_dead(place: Place) -> None:
    """It kills every process that handles it, so that none could count an attempt."""
    worker = short()
    worker.on("#")(lambda event: None)
    queue = place.queue_of(worker)
    await queue.check()
    await place.publish("evt_1")
    await queue.start()
    for _ in range(16):
        (delivery,) = await queue.receive(1)
        await queue.requeue(delivery)
    await queue.stop()

    async with place.running(worker) as runner:
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    (dead,) = await place.dead("agent")
    assert re.fullmatch("delivered 1[78] times and never settled", str(dead.headers["x-reason"]))
    assert orjson.loads(dead.body)["id"] == "evt_1"


async def test_a_handler_that_takes_too_long_or_cancels_itself_has_failed(tmp_path: Path) -> None:
    """The attempt counts as any other, and the worker continues."""
    worker = short(timeout=0.1, attempts=2)
    place = Place(tmp_path)

    @worker.on("stripe.invoice.*")
    async def sleep(event: Event) -> None:
        await asyncio.sleep(3600)

    @worker.on("stripe.charge.*")
    async def cancel(event: Event) -> None:
        raise asyncio.CancelledError

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await place.publish("evt_2", eventtype="charge.failed")
        await wait_until_async(lambda: runner.counts["dead"] == 2, PATIENCE)

    dead = await place.dead("agent")
    assert runner.counts == {"retried": 2, "dead": 2}
    assert {message.headers["x-exception"] for message in dead} == {
        "TimeoutError",
        "asyncio.exceptions.CancelledError",
    }


async def test_a_process_receives_no_more_events_than_it_handles_at_once(place: Place) -> None:
    """The others wait in the queue, where other processes can take them."""
    worker = short(concurrency=3)
    under_way = most = 0

    @worker.on("#")
    async def handle(event: Event) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1

    async with place.running(worker) as runner:
        await place.publish(*(f"evt_{number}" for number in range(20)))
        await wait_until_async(lambda: runner.counts["handled"] == 20, PATIENCE)

    assert most == 3


async def test_a_worker_without_a_guard_needs_no_store(place: Place) -> None:
    """A duplicate is handled again, and a step raises an error."""
    worker = short(guard="off", attempts=1)

    @worker.on("stripe.invoice.*")
    async def handle(event: Event) -> None: ...

    @worker.on("stripe.charge.*")
    async def step(event: Event) -> None:
        async with event.once("pay"):
            pass

    async with place.running(worker) as runner:
        await place.publish("evt_1", "evt_1")
        await place.publish("evt_2", eventtype="charge.failed")
        await wait_until_async(lambda: runner.counts.total() == 3, PATIENCE)

    (dead,) = await place.dead("agent")
    assert runner.counts == {"handled": 2, "dead": 1}
    assert dead.headers["x-exception"] == "RuntimeError"


async def test_a_coroutine_has_to_await_its_step(tmp_path: Path) -> None:
    """`with` would block the loop that it waits for."""
    worker = short(attempts=1)
    place = Place(tmp_path)

    @worker.on("#")
    async def handle(event: Event) -> None:
        with event.once("pay"):
            pass

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    (dead,) = await place.dead("agent")
    assert dead.headers["x-exception"] == "TypeError"


async def test_a_queue_that_is_deleted_is_declared_again(servers: Place) -> None:
    """The consumer would wait for ever; and an event must not be lost because its delay queue is missing."""
    worker = short()

    @worker.on("#")
    async def handle(event: Event) -> None:
        if event.id == "evt_2" and event.attempts == 1:
            raise ValueError

    async with servers.running(worker) as runner, await aio_pika.connect(servers.rabbitmq_url) as connection:
        channel = await connection.channel()
        link = connection_of(runner)
        session = await wait_until_async(lambda: link.current, PATIENCE)
        await channel.queue_delete("agent")
        await wait_until_async(lambda: link.current not in (None, session), PATIENCE)
        await servers.publish("evt_1")
        await wait_until_async(lambda: runner.counts["handled"] == 1, PATIENCE)
        await channel.queue_delete("agent.retry.0.2")
        await servers.publish("evt_2")
        await wait_until_async(lambda: runner.counts["handled"] == 2, PATIENCE)

    assert runner.counts == {"handled": 2, "unsettled": 1, "retried": 1}
