"""Waiting for conditions with deadlines: the only way in which a test may let time pass."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

PATIENCE = 60.0
"""Seconds to wait for what takes moments on a machine with nothing else to do; only what never comes takes so long."""

T = TypeVar("T")

# Short enough not to be felt, long enough not to steal the processor from what is being waited for.
_INTERVAL = 0.01


def wait_until(
    condition: Callable[[], T],
    timeout: float = PATIENCE,
    message: str = "the condition became true",
    *,
    forgive: tuple[type[Exception], ...] = (),
    interval: float = _INTERVAL,
) -> T:
    """Call `condition` until it returns something true, and return that.

    Exceptions named in `forgive` count as "not yet": a refused connection while a server boots.
    The condition is asked once more after the deadline, so that a starved machine gets a fair answer.
    """
    deadline = time.monotonic() + timeout
    while True:
        is_last = time.monotonic() >= deadline
        problem: Exception | None = None
        try:
            if value := condition():
                return value
        except forgive as error:
            problem = error
        if is_last:
            raise TimeoutError(f"not within {timeout:g} s: {message}") from problem
        time.sleep(interval)


@overload
async def wait_until_async(
    condition: Callable[[], Awaitable[T]],
    timeout: float = ...,
    message: str = ...,
    *,
    forgive: tuple[type[Exception], ...] = ...,
) -> T: ...


@overload
async def wait_until_async(
    condition: Callable[[], T],
    timeout: float = ...,
    message: str = ...,
    *,
    forgive: tuple[type[Exception], ...] = ...,
) -> T: ...


async def wait_until_async(
    condition: Callable[[], T | Awaitable[T]],
    timeout: float = PATIENCE,
    message: str = "the condition became true",
    *,
    forgive: tuple[type[Exception], ...] = (),
) -> T:
    """Wait as `wait_until` does, on the event loop. The condition may be a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        is_last = time.monotonic() >= deadline
        problem: Exception | None = None
        try:
            answer = condition()
            value: T = await answer if inspect.isawaitable(answer) else answer
            if value:
                return value
        except forgive as error:
            problem = error
        if is_last:
            raise TimeoutError(f"not within {timeout:g} s: {message}") from problem
        await asyncio.sleep(_INTERVAL)
