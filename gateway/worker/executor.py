"""Attempts at events: when one may begin, what the handler makes of it, and what becomes of the event then."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog

from gateway.claims import Standing
from gateway.worker.circuit_breaker import HandlerBreaker
from gateway.worker.errors import Dead
from gateway.worker.event import Event
from gateway.worker.idempotency import Idempotency, Lease
from gateway.worker.queue import Delivery
from gateway.worker.retry_policy import RetryPolicy, Settlement, qualified_name
from gateway.worker.stats import Stats
from gateway.worker.worker import Handler, Worker, is_coroutine_function

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans

MAX_REDELIVERIES = 16
"""Deliveries of a message that came back unsettled: more is no accident, it ends the processes that get it."""

_MAX_WAIT = 60.0
"""Seconds that an event which is over the limit waits here for its moment; beyond, it goes back into a queue."""

_MAX_UNREPORTED = 1000

T = TypeVar("T")

_is_handling: ContextVar[bool] = ContextVar("is_handling", default=False)
"""Whether a handler runs, or what it began."""

log = structlog.get_logger()


class Executor:
    """The attempts of one process at the events of ``worker``.

    Args:
        worker: the declaration.
        guard: what its processes agree on; None when that does not matter.
        retry_policy: decides how an event comes again.
        report: is told how long they took.
        clock: Unix seconds.
        spans: makes spans, where there are any.

    Attributes:
        ending: set once nothing more is to be begun.
        abandoned: threads that did not finish within the grace, and go on until the process ends.
    """

    def __init__(
        self,
        worker: Worker,
        guard: Idempotency | None,
        retry_policy: RetryPolicy,
        report: Stats,
        clock: Callable[[], float],
        spans: Spans | None,
    ) -> None:
        self._worker = worker
        self._guard = guard
        self._retry_policy = retry_policy
        self._report = report
        self._clock = clock
        self._spans = spans
        self._breaker = HandlerBreaker(worker.pause_after, time.monotonic)
        self._held_up_until = 0.0
        self._under_way = 0
        self._ended = asyncio.Event()
        self.ending = asyncio.Event()
        self._threads = ThreadPoolExecutor(worker.concurrency, thread_name_prefix="handler")
        # Failures that the broker could not be told of: told when the event is delivered again.
        self._unreported: OrderedDict[tuple[str, str], BaseException] = OrderedDict()
        self.abandoned = 0

    @property
    def pause(self) -> float:
        """Seconds during which nothing is to be tried, after failures or over the limit."""
        return max(self._breaker.pause, self._held_up_until - time.monotonic(), 0.0)

    def end(self) -> None:
        """Begin nothing more."""
        self.ending.set()
        self._ended.set()

    def close(self) -> None:
        """Leave the threads that have not finished to their fate."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def make(
        self, handler: Handler, event: Event, delivery: Delivery, hold: Lease | None
    ) -> Settlement:
        """Have the event handled as soon as that may be, unless it is done; what becomes of it."""
        if not await self._may_begin():
            return Settlement("requeued")
        self._under_way += 1
        try:
            return await self._begin(handler, event, delivery, hold)
        finally:
            self._under_way -= 1
            self._ended.set()

    def fail(self, delivery: Delivery, error: BaseException) -> Settlement:
        """What becomes of an event of which an attempt failed with ``error``."""
        if not isinstance(error, Dead) and (pause := self._breaker.note_failure()):
            log.warning("paused", queue=self._worker.queue, seconds=pause)
        return self._retry_policy.failed(delivery, error)

    def remember(self, event: Event, failure: BaseException) -> None:
        """The broker could not be told of a failure; the event comes again, and then it is."""
        self._unreported[event.source, event.key] = failure.with_traceback(None)
        if len(self._unreported) > _MAX_UNREPORTED:
            self._unreported.popitem(last=False)

    async def _may_begin(self) -> bool:
        """Wait until one more event may be tried; False when the worker ends before that."""
        while (pause := self.pause) or (self._breaker.is_open and self._under_way):
            if self.ending.is_set():
                return False
            self._ended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause or None):
                    await self._ended.wait()
        return True

    async def _begin(
        self, handler: Handler, event: Event, delivery: Delivery, hold: Lease | None
    ) -> Settlement:
        untold = self._unreported.pop((event.source, event.key), None)
        if untold:
            return self._retry_policy.failed(delivery, untold)
        if delivery.returns >= MAX_REDELIVERIES:
            reason = f"delivered {delivery.returns + 1} times and never settled"
            return self._retry_policy.dead_lettered(delivery, Dead(reason))
        if self._guard and hold:
            standing = await self._guard.take(hold)
            if standing is Standing.DONE:
                return Settlement("duplicate")
            if standing is Standing.IN_FLIGHT:
                return self._retry_policy.in_flight()
            event.bind(hold)
            if self._worker.limit and (outcome := await self._hold_up(event, delivery, self._guard)):
                self._let_go(hold)
                return outcome
        if self._spans is None:
            return await self._handle(handler, event, delivery, hold)
        with self._spans.attempt(event, self._worker.queue, delivery.routing_key) as tell:
            outcome = await self._handle(handler, event, delivery, hold)
            tell(outcome.name, qualified_name(outcome.failure) if outcome.failure else None)
            return outcome

    async def _handle(
        self, handler: Handler, event: Event, delivery: Delivery, hold: Lease | None
    ) -> Settlement:
        try:
            failure = await self._call(handler, event)
        except asyncio.CancelledError as error:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr] # the handler's own affair
                self._let_go(hold)
                return self.fail(delivery, error)
            if is_coroutine_function(handler):
                self._let_go(hold)
            else:
                self.abandoned += 1  # its thread goes on: the event is held for the rest of the lease
            return Settlement("requeued")
        except BaseException as error:  # noqa: BLE001 -- SystemExit too is a failure of that event alone
            failure = error.__cause__ if isinstance(error, TaskExited) else error
        if failure is not None:
            self._let_go(hold)
            return self.fail(delivery, failure)
        self._breaker.note_success()
        if self._guard and hold:
            self._guard.finish(hold)
        return Settlement("handled")

    async def _hold_up(self, event: Event, delivery: Delivery, guard: Idempotency) -> Settlement | None:
        """Wait until the limit lets the event begin; what becomes of it where that would take too long."""
        limit, by = self._worker.limit, self._worker.limited_by
        if limit is None:
            return None
        try:
            value = (by(event) or "") if by else ""
        except BaseException as error:  # noqa: BLE001 -- it is the user's, as the handler is
            return self.fail(delivery, error)
        longest_wait = 0.0 if by else _MAX_WAIT  # those of one value must not keep the places of others
        wait = await guard.reserve(limit, value, longest_wait)
        if wait > longest_wait:
            if not by:
                self._held_up_until = time.monotonic() + longest_wait
            return self._retry_policy.defer("limited", wait)
        if wait:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.ending.wait()
                    return Settlement("requeued")
        return None

    async def _call(self, handler: Handler, event: Event) -> BaseException | None:
        """Run the handler; return what it raised in a thread, and raise what it raised on the event loop."""
        if event.attempts == 1 and event.receivedat and not event.replayed:
            self._report.lags.observe(max(self._clock() - event.receivedat.timestamp(), 0.0))
        started_at = time.perf_counter()
        _is_handling.set(True)
        try:
            if is_coroutine_function(handler):
                async with asyncio.timeout(self._worker.timeout):
                    await cast("Callable[[Event], Awaitable[None]]", handler)(event)
                return None
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, copy_context().run, _call_in_thread, handler, event
            )
        finally:
            self._report.durations.observe(time.perf_counter() - started_at)

    def _let_go(self, hold: Lease | None) -> None:
        if self._guard and hold:
            self._guard.let_go(hold)


def _call_in_thread(handler: Handler, event: Event) -> BaseException | None:
    """Run the handler; return what it raised, since a future takes no StopIteration and would never be done."""
    try:
        result: object = handler(event)
    except BaseException as error:  # noqa: BLE001 -- as on the event loop
        return error
    if inspect.iscoroutine(result):
        result.close()
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        return TypeError(
            f"the handler returned a {type(result).__name__}, which nobody runs; declare it with async def"
        )
    return None


class TaskExited(Exception):
    """A task that a handler began raised SystemExit or KeyboardInterrupt, which is the cause of this."""


@contextmanager
def contained_tasks() -> Iterator[None]:
    """Let no task that a handler begins end the process: asyncio passes SystemExit of a task on to its whole loop."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        if _is_handling.get():
            coro = _contain(coro)
        return before(loop, coro, **options) if before else asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(make)
    try:
        yield
    finally:
        loop.set_task_factory(before)


async def _contain(coro: Awaitable[T]) -> T:
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        raise TaskExited(f"a task of the handler raised {type(error).__name__}") from error
