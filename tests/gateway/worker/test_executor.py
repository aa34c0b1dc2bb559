"""Attempts: anything that a handler raises fails its event, and has no other effect."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gateway.worker import Event, Worker
from support.agents import Place
from support.waiting import wait_until_async

PATIENCE = 30.0

Handler = Callable[[Event], None] | Callable[[Event], Awaitable[None]]


def _exit() -> NoReturn:
    sys.exit(3)


async def exits(_: Event) -> None:
    """Raise SystemExit, as libraries for command lines do."""
    _exit()


async def is_interrupted(_: Event) -> None:
    """Raise KeyboardInterrupt by itself; no signal arrives this way."""
    raise KeyboardInterrupt


async def ends_its_generator(_: Event) -> None:
    """Raise what only a generator should see."""
    raise GeneratorExit


async def cancels_itself(_: Event) -> None:
    """Raise CancelledError without having been cancelled."""
    raise asyncio.CancelledError


async def exits_in_a_task(_: Event) -> None:
    """Wait for a task of its own that exits."""

    async def work() -> None:
        await asyncio.sleep(0)
        _exit()

    await asyncio.gather(work(), asyncio.sleep(0))


async def exits_in_a_group(_: Event) -> None:
    """Wait for a task group with a task that exits."""

    async def work() -> None:
        _exit()

    async with asyncio.TaskGroup() as group:
        group.create_task(work())


async def exits_in_a_generator(_: Event) -> None:
    """Iterate over a generator that exits."""

    async def numbers() -> Any:
        yield 1
        _exit()

    async for _number in numbers():
        pass


async def exits_in_a_thread(_: Event) -> None:
    """Wait for a thread of its own that exits."""
    await asyncio.to_thread(_exit)


def plainly_exits(_: Event) -> None:
    """Raise SystemExit in the handler's thread."""
    _exit()


def is_plainly_interrupted(_: Event) -> None:
    """Raise KeyboardInterrupt in a thread that is not the main one."""
    raise KeyboardInterrupt


def ends_an_iteration(_: Event) -> None:
    """Raise StopIteration, which a future cannot hold: waiting for it would never end."""
    next(iter(()))


def plainly_cancels(_: Event) -> None:
    """Raise CancelledError in a thread, which nothing can cancel."""
    raise asyncio.CancelledError


def returns_a_coroutine(event: Event) -> Awaitable[None]:
    """Return a coroutine, as a decorator does that does not know coroutines."""
    return exits(event)


def returns_a_generator(_: Event) -> Iterator[None]:
    """Return a generator, which nobody runs."""
    return (None for _ in ())


class Object:
    """A callable object whose call is a coroutine."""

    async def __call__(self, event: Event) -> None:
        """Fail."""
        _exit()


HANDLERS: list[Any] = [
    exits,
    is_interrupted,
    ends_its_generator,
    cancels_itself,
    exits_in_a_task,
    exits_in_a_group,
    exits_in_a_generator,
    exits_in_a_thread,
    plainly_exits,
    is_plainly_interrupted,
    ends_an_iteration,
    plainly_cancels,
    returns_a_coroutine,
    returns_a_generator,
    Object(),
]


@pytest.mark.parametrize("bad", HANDLERS, ids=lambda each: getattr(each, "__name__", "an_object"))
async def test_whatever_a_handler_raises_is_a_failed_attempt(tmp_path: Path, bad: Any) -> None:
    """The worker continues with the next event, retries this one, and dead-letters it in the end."""
    place = Place(tmp_path)
    worker = Worker("agent", ["stripe.#"], attempts=2, retry_from=0.05, retry_most=0.05)
    worker.on("stripe.bad")(bad)
    handled: list[str] = []

    @worker.on("stripe.good")
    async def good(event: Event) -> None:
        handled.append(event.id)

    async with place.running(worker) as runner:
        await place.publish("evt_1", eventtype="bad")
        await place.publish("evt_2", eventtype="good")
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE, "the bad one is dead")
        await wait_until_async(lambda: handled == ["evt_2"], PATIENCE, "the good one is handled")

    assert runner.counts == {"retried": 1, "dead": 1, "handled": 1}
    assert len(await place.dead("agent")) == 1


@pytest.mark.parametrize("function", ["ordered_by", "by"])
async def test_a_function_for_an_attribute_may_not_end_the_worker_either(
    tmp_path: Path, function: str
) -> None:
    """The function is the user's code, too."""

    def find(event: Event) -> str:
        if event.eventtype == "bad":
            _exit()
        return "same"

    options: dict[str, Any] = {function: find}
    if function == "by":
        options["limit"] = "100/s"
    place = Place(tmp_path)
    worker = Worker("agent", ["stripe.#"], attempts=1, **options)
    handled: list[str] = []

    @worker.on("#")
    async def handle(event: Event) -> None:
        handled.append(event.id)

    async with place.running(worker) as runner:
        await place.publish("evt_1", eventtype="bad")
        await place.publish("evt_2", eventtype="good")
        await wait_until_async(lambda: runner.counts["dead"] == 1 and handled, PATIENCE)

    assert handled == ["evt_2"]


async def test_the_log_names_the_exception_that_was_raised(tmp_path: Path) -> None:
    """The log names the exception itself, not the one that carried it out of its task or thread."""
    names = set()
    handlers: tuple[Any, ...] = exits, exits_in_a_task, plainly_exits
    for number, bad in enumerate(handlers):
        place = Place(tmp_path / str(number))
        worker = Worker("agent", ["stripe.#"], attempts=1)
        worker.on("#")(bad)
        async with place.running(worker) as runner:
            await place.publish("evt_1")
            await wait_until_async(lambda runner=runner: runner.counts["dead"] == 1, PATIENCE)  # type: ignore[misc]
        names |= {dead.headers["x-exception"] for dead in await place.dead("agent")}

    assert names == {"SystemExit"}


async def test_a_handler_that_the_end_cancels_has_its_event_requeued(tmp_path: Path) -> None:
    """After the grace a coroutine is cancelled, and its event is delivered again."""
    place = Place(tmp_path)
    worker = Worker("agent", ["stripe.#"], grace=0.05)
    began = asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        began.set()
        await asyncio.Event().wait()

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await asyncio.wait_for(began.wait(), PATIENCE)

    assert runner.counts == {"requeued": 1}


@pytest.mark.parametrize("kind", ["a generator", "an asynchronous generator"])
def test_a_handler_that_would_never_run_is_refused(kind: str) -> None:
    """Calling a generator function runs none of its code."""

    def generator(event: Event) -> Any:
        yield event

    async def asynchronous(event: Event) -> Any:
        yield event

    with pytest.raises(ValueError, match="would never run"):
        Worker("agent", ["#"]).on("#")(generator if kind == "a generator" else asynchronous)
