"""Whatever a handler raises is a failed attempt at its event, and nothing else."""

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
    """As a library does that was written for command lines."""
    _exit()


async def is_interrupted(_: Event) -> None:
    """By itself; a signal never arrives as this."""
    raise KeyboardInterrupt


async def ends_its_generator(_: Event) -> None:
    """What only a generator should see."""
    raise GeneratorExit


async def cancels_itself(_: Event) -> None:
    """As if it had been told to end."""
    raise asyncio.CancelledError


async def exits_in_a_task(_: Event) -> None:
    """Of its own, which it waits for."""

    async def work() -> None:
        await asyncio.sleep(0)
        _exit()

    await asyncio.gather(work(), asyncio.sleep(0))


async def exits_in_a_group(_: Event) -> None:
    """Of tasks."""

    async def work() -> None:
        _exit()

    async with asyncio.TaskGroup() as group:
        group.create_task(work())


async def exits_in_a_generator(_: Event) -> None:
    """That it iterates over."""

    async def numbers() -> Any:
        yield 1
        _exit()

    async for _number in numbers():
        pass


async def exits_in_a_thread(_: Event) -> None:
    """Of its own."""
    await asyncio.to_thread(_exit)


def plainly_exits(_: Event) -> None:
    """In the thread that it has."""
    _exit()


def is_plainly_interrupted(_: Event) -> None:
    """Which is not the main thread."""
    raise KeyboardInterrupt


def ends_an_iteration(_: Event) -> None:
    """A future cannot have this as its exception, and whoever waits for it would for ever."""
    next(iter(()))


def plainly_cancels(_: Event) -> None:
    """Nothing that can be cancelled."""
    raise asyncio.CancelledError


def returns_a_coroutine(event: Event) -> Awaitable[None]:
    """As a decorator does that knows no coroutines."""
    return exits(event)


def returns_a_generator(_: Event) -> Iterator[None]:
    """That nobody runs."""
    return (None for _ in ())


class Object:
    """Is called, and makes a coroutine of that."""

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
    """The worker goes on with the next event, tries this one again, and puts it into the dead-letter queue."""
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
async def test_what_finds_an_attribute_may_not_end_the_worker_either(tmp_path: Path, function: str) -> None:
    """It is the user's, too."""

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


async def test_what_failed_is_named_as_it_was_raised(tmp_path: Path) -> None:
    """Not as what carried it out of its task or its thread."""
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


async def test_our_own_cancelling_hands_the_event_back(tmp_path: Path) -> None:
    """At the end of the grace a coroutine is cancelled, and its event comes again."""
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
    """Calling a function with yield in it runs nothing of it."""

    def generator(event: Event) -> Any:
        yield event

    async def asynchronous(event: Event) -> Any:
        yield event

    with pytest.raises(ValueError, match="would never run"):
        Worker("agent", ["#"]).on("#")(generator if kind == "a generator" else asynchronous)
