"""The circuit breaker: what fails for every event is not tried again and again in vain."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest

from gateway.worker import Dead, Event, Worker, circuit_breaker
from gateway.worker.circuit_breaker import HandlerBreaker
from support.agents import Place
from support.waiting import PATIENCE, wait_until_async


def failing(**options: Any) -> Worker:
    """Return a worker with delays of less than a second."""
    settings = {"attempts": 4, "retry_from": 0.2, "retry_most": 0.8, **options}
    return Worker("agent", ["stripe.#"], **settings)


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    """Each further failure doubles the pause, up to a bound; a success closes the breaker."""
    now = 0.0
    breaker = HandlerBreaker(3, lambda: now)
    breaker.note_failure()
    breaker.note_failure()
    breaker.note_success()
    assert [breaker.note_failure() for _ in range(5)] == [0, 0, 10, 0, 0]
    pauses = []
    for _ in range(6):
        now += breaker.pause
        assert breaker.is_open
        pauses.append(breaker.note_failure())
    assert pauses == [20, 40, 80, 160, 300, 300]

    breaker.note_success()

    assert not breaker.is_open
    assert breaker.pause == 0
    assert [breaker.note_failure() for _ in range(3)] == [0, 0, 10]


def test_a_worker_can_do_without_a_breaker() -> None:
    """For users who count failures elsewhere."""
    breaker = HandlerBreaker(None, lambda: 0.0)

    assert not any(breaker.note_failure() for _ in range(1000))


@pytest.mark.parametrize("options", [{}, {"ordered_by": "id"}], ids=["", "ordered"])
async def test_a_worker_whose_handlers_keep_failing_leaves_its_events_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """It tries one event at a time until one succeeds, and then handles all of them."""
    monkeypatch.setattr(circuit_breaker, "_FIRST_PAUSE", 0.5)
    worker = failing(pause_after=5, concurrency=5, attempts=8, **options)
    begun: list[tuple[float, int]] = []
    at_once = 0
    is_down = True

    @worker.on("#")
    async def handle(event: Event) -> None:
        nonlocal at_once
        at_once += 1
        begun.append((time.monotonic(), at_once))
        await asyncio.sleep(0.01)
        at_once -= 1
        if is_down:
            raise ConnectionError

    async with place.running(worker) as runner:
        await place.publish(*(f"evt_{number}" for number in range(40)))
        await wait_until_async(lambda: runner.counts["retried"] >= 7, PATIENCE)
        tried = runner.counts.total()
        is_down = False
        await wait_until_async(lambda: runner.counts["handled"] == 40, PATIENCE)

    assert tried < 20
    pause, beside = max((later[0] - earlier[0], later[1]) for earlier, later in pairwise(begun))
    assert pause > 0.4
    assert beside == 1


async def test_dead_events_do_not_open_the_breaker(place: Place) -> None:
    """Dead is about the event, not about the handler."""
    worker = failing(pause_after=2)

    @worker.on("#")
    async def handle(event: Event) -> None:
        raise Dead("no")

    async with place.running(worker) as runner:
        await place.publish(*(f"evt_{number}" for number in range(6)))
        await wait_until_async(lambda: runner.counts["dead"] == 6, PATIENCE)

    assert not runner.is_paused
