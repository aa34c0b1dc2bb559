"""Calls of handlers in threads, and the containment of what their tasks raise.

asyncio re-raises SystemExit and KeyboardInterrupt of any task out of the event loop, which would end the process for
all events. Here they fail the event whose handler raised them, or nothing if the handler does not wait for the task.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from gateway.worker.event import Event
from gateway.worker.worker import Handler

T = TypeVar("T")

is_handling: ContextVar[bool] = ContextVar("is_handling", default=False)
"""Whether the current task is a handler, or was begun by one."""


class TaskExited(Exception):
    """Raised in place of the SystemExit or KeyboardInterrupt of a handler's task, its cause."""


def call_in_thread(handler: Handler, event: Event) -> BaseException | None:
    """Call ``handler`` and return what it raised.

    A TypeError is returned if the handler returned something that nobody would run, such as a coroutine.

    Nothing is raised: a future does not accept StopIteration, and one that is given it would never complete.
    """
    try:
        result: object = handler(event)
    except BaseException as error:  # noqa: BLE001 -- SystemExit ends a thread without a word
        return error
    if inspect.iscoroutine(result):
        result.close()
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        return TypeError(
            f"the handler returned a {type(result).__name__}, which nobody runs; declare it with async def"
        )
    return None


@contextmanager
def contained_tasks() -> Iterator[None]:
    """Keep the tasks that handlers begin in the running loop from ending the process.

    The loop may be somebody else's, with a task factory of its own, and several workers may share it.
    """
    loop = asyncio.get_running_loop()
    present = loop.get_task_factory()
    factory = present if isinstance(present, _ContainingFactory) else _ContainingFactory(present)
    loop.set_task_factory(factory)
    factory.users += 1
    try:
        yield
    finally:
        factory.users -= 1
        # Otherwise somebody has set another factory since, which may call this one. It is harmless without handlers.
        if not factory.users and loop.get_task_factory() is factory:
            loop.set_task_factory(factory.previous)


class _ContainingFactory:
    """A task factory that contains the tasks of handlers, for all workers of one loop.

    One for each worker would form a chain, from which a worker that ends could not take its own.

    Attributes:
        previous: the task factory of the loop before.
        users: the number of workers that need this one.
    """

    def __init__(self, previous: Any) -> None:
        self.previous = previous
        self.users = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        if is_handling.get():
            coro = _contain(coro)
        if self.previous:
            return self.previous(loop, coro, **options)
        return asyncio.Task(coro, loop=loop, **options)


async def _contain(coro: Awaitable[T]) -> T:
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        raise TaskExited(f"a task of the handler raised {type(error).__name__}") from error
