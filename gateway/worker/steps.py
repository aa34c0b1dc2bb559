"""Steps of a handler that run once per event: a block, or a call whose result is stored."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar, cast

import orjson
from pydantic import TypeAdapter

from gateway.worker.errors import Dead

T = TypeVar("T")

MAX_RESULT = 65_536
"""Bytes of JSON that a step's result may have, because the store keeps it in memory for days."""

_PLAIN_JSON = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)
"""Refuse what would come back from the store as another type."""


class Steps(Protocol):
    """The memory of which steps of one event are done.

    Attributes:
        loop: The event loop that the other methods run on. A handler in a thread calls them through it.
    """

    __slots__ = ()

    loop: asyncio.AbstractEventLoop

    async def begin(self, step: str) -> bool:
        """Claim ``step``. Return whether to run it now; False if an earlier attempt completed it.

        Raises:
            Retry: The store is unavailable, or an attempt whose process died still holds the step.
        """

    def end(self, step: str, *, is_done: bool, result: str = "") -> None:
        """Mark ``step`` as done, with its result, or release it so that a later attempt runs it."""

    async def result_of(self, step: str) -> str | None:
        """Return the result that the done ``step`` was marked with; None if there is none.

        Raises:
            Retry: The store is unavailable.
        """

    def key_of(self, step: str) -> str:
        """Return an idempotency key for ``step`` of this event: the same key at every attempt."""


class Once:
    """A step that is skipped after it succeeded: ``async with``, or ``with`` in a thread."""

    __slots__ = ("_is_first", "_step", "_steps")

    def __init__(self, steps: Steps, step: str) -> None:
        self._steps = steps
        self._step = step
        self._is_first = False

    async def __aenter__(self) -> bool:
        self._is_first = await self._steps.begin(self._step)
        return self._is_first

    async def __aexit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._is_first:
            self._steps.end(self._step, is_done=error_type is None)

    def __enter__(self) -> bool:
        _expect_thread(
            "`with` would block the event loop; in a coroutine, write `async with event.once(...)`"
        )
        self._is_first = _on_loop(self._steps, self._steps.begin(self._step))
        return self._is_first

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._is_first:
            self._steps.loop.call_soon_threadsafe(
                lambda: self._steps.end(self._step, is_done=error_type is None)
            )


class StoredStep(Generic[T]):
    """A call that runs once per event, and whose result is stored: ``await`` it, or call :meth:`result` in a thread."""

    __slots__ = ("_call", "_returns", "_step", "_steps")

    def __init__(
        self,
        steps: Steps,
        step: str,
        call: Callable[[], Awaitable[T]] | Callable[[], T],
        returns: type[T] | None,
    ) -> None:
        self._steps = steps
        self._step = step
        self._call = call
        self._returns: TypeAdapter[T] | None = TypeAdapter(returns) if returns is not None else None

    def __await__(self) -> Generator[Any, None, T]:
        return self._run().__await__()

    async def _run(self) -> T:
        if not await self._steps.begin(self._step):
            return self._decode(await self._steps.result_of(self._step))
        try:
            value = self._call()
            if inspect.isawaitable(value):
                value = await value
        except BaseException:
            self._steps.end(self._step, is_done=False)
            raise
        stored, refusal = self._encode(cast("T", value))
        self._steps.end(self._step, is_done=True, result=stored)
        if refusal:
            raise Dead(refusal)
        return self._decode(stored)

    def result(self) -> T:
        """Return the result, for a handler that runs in a thread.

        Raises:
            TypeError: An event loop runs in this thread, or the call is a coroutine function.
        """
        _expect_thread("`result()` would block the event loop; in a coroutine, write `await event.once(...)`")
        if not _on_loop(self._steps, self._steps.begin(self._step)):
            return self._decode(_on_loop(self._steps, self._steps.result_of(self._step)))
        end = self._steps.end
        try:
            value = self._call()
            if inspect.iscoroutine(value):
                value.close()
                raise TypeError("a coroutine cannot run in a thread; declare the handler with async def")
        except BaseException:
            self._steps.loop.call_soon_threadsafe(lambda: end(self._step, is_done=False))
            raise
        stored, refusal = self._encode(cast("T", value))
        self._steps.loop.call_soon_threadsafe(lambda: end(self._step, is_done=True, result=stored))
        if refusal:
            raise Dead(refusal)
        return self._decode(stored)

    def _encode(self, value: T) -> tuple[str, str]:
        """Return the result as JSON and no refusal, or no JSON and why the result cannot be stored."""
        try:
            if self._returns is not None:
                encoded = self._returns.dump_json(value, warnings="error")
            else:
                encoded = orjson.dumps(value, option=_PLAIN_JSON)
        except (TypeError, ValueError):  # what pydantic and orjson raise for a value of another type
            problem = f"a {type(value).__name__} is not JSON; pass `returns=` with its type"
        else:
            if len(encoded) <= MAX_RESULT:
                return encoded.decode(), ""
            problem = f"it has {len(encoded):,} bytes of JSON, and at most {MAX_RESULT:,} are stored"
        return "", f"step {self._step!r} is done, but its result cannot be stored: {problem}"

    def _decode(self, stored: str | None) -> T:
        """Return the result as the first attempt and every later one get it."""
        if stored is None:
            raise Dead(f"step {self._step!r} was done before, and has no stored result")
        if self._returns is None:
            return cast("T", orjson.loads(stored))
        try:
            return self._returns.validate_json(stored)
        except ValueError:
            raise Dead(f"the stored result of step {self._step!r} has another type by now") from None


def _on_loop(steps: Steps, work: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(work, steps.loop).result()


def _expect_thread(advice: str) -> None:
    """Raise a TypeError with ``advice`` if an event loop runs in this thread."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise TypeError(advice)
