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
    previous = loop.get_task_factory()

    def make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        if is_handling.get():
            coro = _contain(coro)
        return previous(loop, coro, **options) if previous else asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(make_task)
    try:
        yield
    finally:
        # Otherwise somebody has set another factory since, which may call this one. It is harmless without handlers.
        if loop.get_task_factory() is make_task:
            loop.set_task_factory(previous)


async def _contain(coro: Awaitable[T]) -> T:
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        raise TaskExited(f"a task of the handler raised {type(error).__name__}") from error
