"""`ordered_by`: one after another within a subject, in the order in which they came, beside other subjects."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from typing import Any

import aio_pika
import pytest

from gateway.worker import Dead, Event, Worker
from gateway.worker.queue import DeclarationChanged
from support.agents import Place, connection_of
from support.waiting import PATIENCE, wait_until_async


class Diary:
    """What handlers are running, and which events they have finished, by subject."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.done: defaultdict[str | None, list[str]] = defaultdict(list)
        self.at_once: set[str | None] = set()
        self.most_at_once = 0

    def begin(self, event: Event) -> None:
        """Note that an event begins; fail if another of its subject is running."""
        assert event.subject not in self.at_once or event.subject is None
        self.at_once.add(event.subject)
        self.most_at_once = max(self.most_at_once, len(self.at_once))

    def end(self, event: Event, *, is_done: bool = True) -> None:
        """Note that an event ended."""
        self.at_once.discard(event.subject)
        if is_done:
            self.done[event.subject].append(event.id)


def ordered(**options: Any) -> Worker:
    """Return an ordered worker with delays of less than a second."""
    settings = {"attempts": 4, "retry_from": 0.2, "retry_most": 0.8, "ordered_by": "subject", **options}
    return Worker("agent", ["stripe.#"], **settings)


def subject_of(event_id: str) -> str:
    """Return the part of an id before its number."""
    return event_id.partition("_")[0]


def ids(subjects: str, count: int) -> list[str]:
    """Return ids of events that alternate between subjects."""
    return [f"{subject}_{number:03}" for number in range(count) for subject in subjects]


@pytest.mark.parametrize("processes", [1, 2])
async def test_events_of_a_subject_go_one_after_another_and_others_beside_them(
    place: Place, processes: int
) -> None:
    """In the order of publication, whatever the number of processes."""
    diary = Diary()
    worker = ordered(concurrency=3)

    @worker.on("#")
    async def handle(event: Event) -> None:
        diary.begin(event)
        await asyncio.sleep(0.005)
        diary.end(event)

    async with AsyncExitStack() as stack:
        runners = [await stack.enter_async_context(place.running(worker)) for _ in range(processes)]
        await place.publish(*sorted(ids("abcd", 20)), subject=subject_of)
        await wait_until_async(lambda: sum(map(len, diary.done.values())) == 80, PATIENCE)

    assert diary.done == {subject: ids(subject, 20) for subject in "abcd"}
    assert diary.most_at_once == 3
    assert sum((runner.counts for runner in runners), Counter()) == {"handled": 80}


async def test_an_event_that_comes_again_keeps_those_behind_it_waiting(place: Place) -> None:
    """Through all its attempts, in queues and not in memory. Other subjects continue, and a dead event blocks nobody."""
    diary = Diary()
    worker = ordered(attempts=3)

    @worker.on("#")
    async def handle(event: Event) -> None:
        diary.begin(event)
        is_well = event.id not in {"a_000", "b_001"} or (event.id == "a_000" and event.attempts == 3)
        diary.end(event, is_done=is_well)
        if not is_well:
            raise RuntimeError

    async with place.running(worker) as runner:
        await place.publish(*ids("abc", 4), subject=subject_of)
        await wait_until_async(lambda: runner.counts["handled"] == 11, PATIENCE)
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    assert diary.done == {"a": ids("a", 4), "b": ["b_000", "b_002", "b_003"], "c": ids("c", 4)}
    assert runner.counts["waiting"] >= 5


async def test_the_order_survives_the_end_of_a_process(place: Place) -> None:
    """Events that it had received but not begun come before those that it had not received."""
    diary = Diary()
    worker = ordered(concurrency=2)
    gate = asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        diary.begin(event)
        if event.id.endswith("005"):
            await gate.wait()
        diary.end(event)

    first = place.runner_of(worker)
    await place.queue_of(worker).check()
    running = asyncio.create_task(first.run())
    await place.publish(*ids("abc", 30), subject=subject_of)
    await wait_until_async(lambda: len(diary.at_once) == 2, PATIENCE)
    async with place.running(worker) as second:
        first.end()
        await place.publish("d_000", subject=subject_of)  # meanwhile the next one is not to have anything
        assert second.in_hand == second.counts.total() == 0
        gate.set()
        await running
        await wait_until_async(lambda: sum(map(len, diary.done.values())) == 91, PATIENCE)

    assert diary.done == {subject: ids(subject, 30) for subject in "abc"} | {"d": ["d_000"]}
    assert first.counts["requeued"] > 0
    assert second.counts["handled"] > 0


async def test_a_process_that_was_cut_off_does_not_disturb_the_order(servers: Place) -> None:
    """The broker delivers its events to the next process while it still handles the first of them."""
    diary = Diary()
    worker = ordered()
    gate = asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        diary.begin(event)
        if event.id == "a_000":
            await gate.wait()
        diary.end(event)

    async with servers.running(worker) as first:
        await servers.publish(*ids("ab", 10), subject=subject_of)
        await wait_until_async(lambda: len(diary.done["b"]) == 10, PATIENCE)
        async with servers.running(worker) as second:
            session = connection_of(first).current
            assert session
            session.fail("cut off")
            await wait_until_async(
                lambda: second.counts["waiting"] + first.counts["waiting"] > 0, PATIENCE, "they stand in line"
            )
            gate.set()
            await wait_until_async(lambda: len(diary.done["a"]) == 10, PATIENCE)

    assert diary.done == {"a": ids("a", 10), "b": ids("b", 10)}


async def test_events_without_a_subject_wait_for_nobody(place: Place) -> None:
    """A function may return any value as the key; if it raises, that is a failed attempt."""
    diary = Diary()
    worker = ordered(ordered_by=lambda event: event.data["customer"], attempts=2)

    @worker.on("#")
    async def handle(event: Event) -> None:
        diary.end(event)

    async with place.running(worker) as runner:
        await place.publish("evt_1", "evt_2", data=lambda _: {"customer": None})
        await place.publish("evt_3")
        await place.publish("evt_4", data=lambda _: {"customer": 42})
        await wait_until_async(lambda: runner.counts["handled"] + runner.counts["dead"] == 4, PATIENCE)

    assert sorted(diary.done[None]) == ["evt_1", "evt_2", "evt_4"]
    assert runner.counts == {"handled": 3, "retried": 1, "dead": 1}
    (dead,) = await place.dead("agent")
    assert dead.headers["x-exception"] == "TypeError"


async def test_a_duplicate_leaves_the_sequence(place: Place) -> None:
    """A second publication of the first event does not hold up the next."""
    worker = ordered()
    diary = Diary()

    @worker.on("#")
    async def handle(event: Event) -> None:
        diary.end(event)
        if event.id == "a_001" and event.attempts == 1:
            raise Dead("enough")

    async with place.running(worker) as runner:
        await place.publish("a_000", "a_000", "a_001", "a_002", subject=subject_of)
        await wait_until_async(lambda: runner.counts.total() >= 4, PATIENCE)

    assert runner.counts == {"handled": 2, "duplicate": 1, "dead": 1}


async def test_an_unordered_queue_cannot_become_ordered_in_silence(servers: Place) -> None:
    """RabbitMQ would still deliver to several consumers."""
    await servers.queue_of(Worker("agent", ["stripe.#"], retry_from=0.2, retry_most=0.8)).check()

    with pytest.raises(DeclarationChanged, match="x-single-active-consumer"):
        await servers.queue_of(ordered()).check()

    async with await aio_pika.connect(servers.rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete("agent")
    await servers.queue_of(ordered()).check()
