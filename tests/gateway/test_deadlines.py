"""Deadlines: kept soon, only for their own task, and never mistaken for another cancellation."""

from __future__ import annotations

import asyncio

import pytest

from gateway.deadlines import Deadlines

PATIENCE = 10.0


async def test_what_takes_too_long_times_out() -> None:
    """As TimeoutError, with the task none the worse for it."""
    deadlines = Deadlines()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TimeoutError), deadlines.within(0.02):
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_ends_in_time_is_left_alone() -> None:
    """Also long after its deadline would have been."""
    deadlines = Deadlines()
    with deadlines.within(0.01):
        await asyncio.sleep(0)
    with deadlines.within(PATIENCE):
        await asyncio.sleep(0.25)

    assert not deadlines._due
    assert not deadlines._overdue


async def test_each_task_has_its_own_deadline() -> None:
    """The impatient end, the patient finish, in whatever order they began."""
    deadlines = Deadlines()
    ready = asyncio.Event()

    async def work(seconds: float) -> str:
        with deadlines.within(seconds):
            await ready.wait()
        return "finished"

    patient = [asyncio.ensure_future(work(PATIENCE)) for _ in range(3)]
    impatient = [asyncio.ensure_future(work(0.01)) for _ in range(3)]
    answers = await asyncio.wait_for(asyncio.gather(*impatient, return_exceptions=True), PATIENCE)
    assert [TimeoutError] * 3 == [type(answer) for answer in answers]
    ready.set()

    assert await asyncio.gather(*patient) == ["finished"] * 3


async def test_a_cancellation_from_outside_stays_one() -> None:
    """It must not become an answer to a sender."""
    deadlines = Deadlines()

    async def work() -> None:
        with deadlines.within(PATIENCE):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not deadlines._due


async def test_an_exception_passes_through() -> None:
    """And the deadline goes with it."""
    deadlines = Deadlines()
    with pytest.raises(KeyError), deadlines.within(PATIENCE):
        raise KeyError

    assert not deadlines._due


async def test_no_timer_is_left_when_nobody_waits() -> None:
    """One timer looks after all while there are any, and then rests; it starts again for the next."""
    deadlines = Deadlines()
    for _ in range(2):
        with pytest.raises(TimeoutError), deadlines.within(0.01):
            await asyncio.Event().wait()
        assert not deadlines._is_sweep_due


def test_a_deadline_needs_a_task() -> None:
    """There is nothing to cancel else."""
    loop = asyncio.new_event_loop()
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            Deadlines().within(1.0).__enter__()
        except RuntimeError as error:
            errors.append(error)

    loop.call_soon(enter)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert [str(error) for error in errors] == ["deadlines are for tasks"]
