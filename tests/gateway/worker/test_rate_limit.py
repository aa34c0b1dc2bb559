"""Rate limits: what costs money does not begin more often than it may."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.worker import Event, Worker
from gateway.worker.rate_limit import RateLimit
from support.agents import Place
from support.ports import free_port
from support.waiting import PATIENCE, wait_until_async


def limited(**options: Any) -> Worker:
    """Return a worker with delays of less than a second."""
    settings = {"attempts": 4, "retry_from": 0.2, "retry_most": 0.8, **options}
    return Worker("agent", ["stripe.#"], **settings)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60/minute", RateLimit(60, 60.0)),
        ("10/s", RateLimit(10, 1.0)),
        ("5000/day", RateLimit(5000, 86_400.0)),
        ("1/hour", RateLimit(1, 3600.0)),
    ],
)
def test_a_limit_has_a_number_and_a_unit(text: str, limit: RateLimit) -> None:
    """With units in full or abbreviated."""
    assert RateLimit.parse(text) == limit


@pytest.mark.parametrize("processes", [1, 2])
async def test_no_more_events_begin_than_the_limit_allows(place: Place, processes: int) -> None:
    """In all processes together; the other events wait for their moment, and all are handled."""
    worker = limited(limit="4/s")
    begun: list[float] = []

    @worker.on("#")
    async def handle(event: Event) -> None:
        begun.append(time.monotonic())

    async with AsyncExitStack() as stack:
        runners = [await stack.enter_async_context(place.running(worker)) for _ in range(processes)]
        await place.publish(*(f"evt_{number}" for number in range(12)))
        await wait_until_async(lambda: len(begun) == 12, PATIENCE)

    # Three windows of four events are at least two seconds apart, less what the first window had used up.
    assert begun[-1] - begun[0] > 0.8
    assert sum(runner.counts["handled"] for runner in runners) == 12
    assert sum(runner.counts.total() for runner in runners) == 12


async def test_one_account_over_its_limit_does_not_hold_up_another(place: Place) -> None:
    """Its events wait in the delay queues, and no attempt is counted."""
    worker = limited(limit="2/s", by="account", concurrency=2)
    begun: list[tuple[str | None, str, int]] = []

    @worker.on("#")
    async def handle(event: Event) -> None:
        begun.append((event.account, event.id, event.attempts))

    async with place.running(worker) as runner:
        await place.publish(*(f"evt_{number}" for number in range(8)), account=lambda _: "busy")
        await place.publish("evt_8", account=lambda _: "calm")
        await wait_until_async(lambda: runner.counts["handled"] == 9, PATIENCE)

    assert {event_id for _, event_id, _ in begun} == {f"evt_{number}" for number in range(9)}
    assert begun.index(("calm", "evt_8", 1)) < 8
    assert runner.counts["limited"] >= 6
    assert {attempts for _, _, attempts in begun} == {1}


async def test_events_with_a_long_wait_stay_in_the_queue(place: Place) -> None:
    """Not in memory: a few events go to the delay queues, no others are received, and the end waits for none."""
    worker = limited(limit="2/hour", concurrency=3, retry_most=3600)
    worker.on("#")(lambda event: None)

    async with place.running(worker) as runner:
        await place.publish(*(f"evt_{number}" for number in range(30)))
        await wait_until_async(lambda: runner.is_paused and runner.in_hand == 3, PATIENCE)

    assert runner.counts["handled"] == 2
    assert 0 < runner.counts["limited"] <= 3
    assert runner.counts.total() <= 8


async def test_an_end_does_not_wait_for_the_limit(place: Place) -> None:
    """An event that waits for its moment is requeued at once."""
    worker = limited(limit="1/minute", concurrency=2)
    worker.on("#")(lambda event: None)

    async with place.running(worker) as runner:
        await place.publish("evt_1", "evt_2")
        await wait_until_async(lambda: runner.counts["handled"] == 1 and runner.in_hand == 1, PATIENCE)

    assert runner.counts == {"handled": 1, "requeued": 1}


@pytest.mark.parametrize(("guard", "handled"), [("lenient", 3), ("strict", 0)])
async def test_without_redis_a_strict_worker_keeps_its_limit_and_a_lenient_one_does_not(
    rabbitmq_url: str, tmp_path: Path, guard: str, handled: int
) -> None:
    """The owner of the worker chooses what an outage costs."""
    place = Place(tmp_path, rabbitmq_url, f"redis://127.0.0.1:{free_port()}")
    worker = limited(limit="1/hour", guard=guard, grace=0.1)
    worker.on("#")(lambda event: None)

    async with place.running(worker) as runner:
        await place.publish("evt_1", "evt_2", "evt_3")
        await wait_until_async(lambda: runner.counts["handled"] + runner.in_hand == 3, PATIENCE)

    assert runner.counts["handled"] == handled


async def test_a_function_that_raises_fails_its_event(place: Place) -> None:
    """The function is the user's code, as the handler is."""
    worker = limited(limit="1/s", by=lambda event: event.data["customer"], attempts=1)
    worker.on("#")(lambda event: None)

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    (dead,) = await place.dead("agent")
    assert dead.headers["x-exception"] == "TypeError"
