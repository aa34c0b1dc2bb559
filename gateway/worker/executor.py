"""Attempts at events: when one may begin, the handler's call, and the settlement.

Every path of an attempt is in this one module, because each of them has to release what the path before it took: the
place among the running attempts, then the lease, then the handler's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, cast

import structlog

from gateway.claims import Standing
from gateway.signatures.times import rfc3339_milliseconds
from gateway.worker.circuit_breaker import HandlerBreaker
from gateway.worker.errors import Dead
from gateway.worker.event import Event
from gateway.worker.handler_calls import TaskExited, call_in_thread, is_handling
from gateway.worker.idempotency import Idempotency, Lease
from gateway.worker.queue import Delivery
from gateway.worker.retry_policy import RetryPolicy, Settlement, qualified_name
from gateway.worker.stats import Stats
from gateway.worker.tracebacks import place_of
from gateway.worker.worker import Handler, Worker, is_coroutine_function

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans

MAX_REDELIVERIES = 16
"""Unsettled redeliveries after which a message is a poison message: it probably kills the process that handles it."""

_MAX_WAIT = 60.0
"""Seconds that an event over the rate limit waits in the process. For a longer wait it returns to a queue."""

_MAX_UNREPORTED = 1000
"""Failures that are kept while the broker cannot record them. Beyond that the oldest attempts are not counted."""

log = structlog.get_logger()


class Executor:
    """Makes the attempts of one process at the events of ``worker``.

    Args:
        worker: The declaration.
        idempotency: The leases and limits that all processes of the worker share; None if it uses none.
        retry_policy: Decides how a failure is settled.
        stats: Receives the durations and lags.
        clock: Returns Unix seconds.
        spans: Makes a trace span for each attempt; None without tracing.

    Attributes:
        ending: Set when no further attempt may begin.
        abandoned: The number of threads that did not finish within the grace. They run until the process ends.
    """

    def __init__(
        self,
        worker: Worker,
        idempotency: Idempotency | None,
        retry_policy: RetryPolicy,
        stats: Stats,
        clock: Callable[[], float],
        spans: Spans | None,
    ) -> None:
        self._worker = worker
        self._idempotency = idempotency
        self._retry_policy = retry_policy
        self._stats = stats
        self._clock = clock
        self._spans = spans
        self._breaker = HandlerBreaker(worker.pause_after, time.monotonic)
        self._limited_until = 0.0
        self._last_failure = ""
        self._running = 0
        self._finished = asyncio.Event()
        self.ending = asyncio.Event()
        self._threads = ThreadPoolExecutor(worker.concurrency, thread_name_prefix="handler")
        # Failures that the broker could not record, by source and key: they count when the event is delivered again.
        self._unreported: OrderedDict[tuple[str, str], BaseException] = OrderedDict()
        self.abandoned = 0

    @property
    def pause(self) -> float:
        """Return the seconds until an attempt may begin, after failures or over the rate limit."""
        return max(self._breaker.pause, self._limited_until - time.monotonic(), 0.0)

    @property
    def pause_reason(self) -> str:
        """Return why no attempt may begin at the moment, in words for people; empty if one may."""
        if self._breaker.pause:
            return f"{self._breaker.failures} failures in a row, the last {self._last_failure}"
        return "over its rate limit" if self.pause else ""

    def end(self) -> None:
        """Begin no further attempt."""
        self.ending.set()
        self._finished.set()

    def close(self) -> None:
        """Abandon the threads that have not finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(
        self, handler: Handler, event: Event, delivery: Delivery, lease: Lease | None
    ) -> Settlement:
        """Make an attempt, once one may begin and unless the event is done; return the settlement."""
        if not await self._may_begin():
            return Settlement("requeued")
        self._running += 1
        try:
            refusal = await self._acquire(event, delivery, lease)
            if refusal is not None:
                return refusal
            if self._spans is None:
                return await self._call_handler(handler, event, delivery, lease)
            with self._spans.attempt(event, self._worker.queue, delivery.routing_key) as set_outcome:
                settlement = await self._call_handler(handler, event, delivery, lease)
                set_outcome(
                    settlement.name, qualified_name(settlement.failure) if settlement.failure else None
                )
                return settlement
        finally:
            self._running -= 1
            self._finished.set()

    def fail(self, delivery: Delivery, error: BaseException) -> Settlement:
        """Count a failed attempt; return how to settle the delivery."""
        if not isinstance(error, Dead) and (pause := self._breaker.note_failure()):
            place = place_of(error)
            self._last_failure = f"{qualified_name(error)} at {place}" if place else qualified_name(error)
            log.warning(
                "paused",
                queue=self._worker.queue,
                seconds=pause,
                until=rfc3339_milliseconds(self._clock() + pause),
                failures=self._breaker.failures,
                error=qualified_name(error),
                at=place or None,
            )
        return self._retry_policy.failed(delivery, error)

    def keep_failure(self, event: Event, failure: BaseException) -> None:
        """Keep a failure that the broker could not record until the event is delivered again."""
        # Without its traceback, whose frames would keep the handler's local variables in memory.
        self._unreported[event.source, event.key] = failure.with_traceback(None)
        if len(self._unreported) > _MAX_UNREPORTED:
            self._unreported.popitem(last=False)

    async def _may_begin(self) -> bool:
        """Wait until an attempt may begin; return False if the worker ends before."""
        while (pause := self.pause) or (self._breaker.is_open and self._running):
            if self.ending.is_set():
                return False
            self._finished.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause or None):
                    await self._finished.wait()
        return True

    async def _acquire(self, event: Event, delivery: Delivery, lease: Lease | None) -> Settlement | None:
        """Acquire the lease and a place in the rate limit; return a settlement if either is refused."""
        unreported = self._unreported.pop((event.source, event.key), None)
        if unreported:
            return self._retry_policy.failed(delivery, unreported)
        if delivery.redeliveries >= MAX_REDELIVERIES:
            reason = f"delivered {delivery.redeliveries + 1} times and never settled"
            return self._retry_policy.dead_lettered(delivery, Dead(reason))
        if not (self._idempotency and lease):
            return None
        standing = await self._idempotency.acquire(lease)
        if standing is Standing.DONE:
            return Settlement("duplicate")
        if standing is Standing.IN_FLIGHT:
            return self._retry_policy.in_flight()
        event.bind(lease)
        refusal = None
        if self._worker.limit:
            refusal = await self._wait_for_rate_limit(event, delivery, self._idempotency)
            if refusal is not None:
                self._release(lease)
        return refusal

    async def _wait_for_rate_limit(
        self, event: Event, delivery: Delivery, idempotency: Idempotency
    ) -> Settlement | None:
        """Wait for the rate limit; return a settlement if the event cannot begin soon."""
        limit, by = self._worker.limit, self._worker.limited_by
        if limit is None:
            return None
        try:
            value = (by(event) or "") if by else ""
        except BaseException as error:  # noqa: BLE001 -- `by` is the user's code, as the handler is
            return self.fail(delivery, error)
        # Events of one busy value must not wait in places that events of other values could use.
        max_wait = 0.0 if by else _MAX_WAIT
        wait = await idempotency.reserve(limit, value, max_wait)
        if wait > max_wait:
            if not by:
                self._limited_until = time.monotonic() + max_wait
            return self._retry_policy.deferred("limited", wait)
        if wait:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.ending.wait()
                    return Settlement("requeued")
        return None

    async def _call_handler(
        self, handler: Handler, event: Event, delivery: Delivery, lease: Lease | None
    ) -> Settlement:
        """Call the handler; then commit or release the lease."""
        try:
            failure = await self._invoke(handler, event)
        except asyncio.CancelledError as error:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr] # the handler cancelled itself
                self._release(lease)
                return self.fail(delivery, error)
            if is_coroutine_function(handler):
                self._release(lease)
            else:
                self.abandoned += (
                    1  # its thread still runs, so that the event keeps its lease until that expires
                )
            return Settlement("requeued")
        except BaseException as error:  # noqa: BLE001 -- even SystemExit is a failure of this event alone
            failure = error.__cause__ if isinstance(error, TaskExited) else error
        if failure is not None:
            self._release(lease)
            return self.fail(delivery, failure)
        self._breaker.note_success()
        if self._idempotency and lease:
            self._idempotency.commit(lease)
        return Settlement("handled")

    async def _invoke(self, handler: Handler, event: Event) -> BaseException | None:
        """Run the handler; return what it raised in a thread, raise what it raised on the loop."""
        if event.attempts == 1 and event.receivedat and not event.replayed:
            self._stats.lags.observe(max(self._clock() - event.receivedat.timestamp(), 0.0))
        started_at = time.perf_counter()
        is_handling.set(True)
        try:
            if is_coroutine_function(handler):
                async with asyncio.timeout(self._worker.timeout):
                    await cast("Callable[[Event], Awaitable[None]]", handler)(event)
                return None
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, copy_context().run, call_in_thread, handler, event
            )
        finally:
            self._stats.durations.observe(time.perf_counter() - started_at)

    def _release(self, lease: Lease | None) -> None:
        if self._idempotency and lease:
            self._idempotency.release(lease)
