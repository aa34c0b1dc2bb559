"""Running a worker: receives events, has them handled, and settles each by what became of it."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import structlog

from gateway.claims import Standing
from gateway.worker.errors import Dead, Retry
from gateway.worker.event import Event, NotAnEvent
from gateway.worker.guard import Guard, Hold
from gateway.worker.ladder import Ladder
from gateway.worker.queue import (
    ATTEMPTS,
    EXCEPTION,
    FIRST_FAILED_AT,
    LAST_FAILED_AT,
    QUEUE,
    REASON,
    Delivery,
    DeliveryLost,
    Headers,
    Queue,
)
from gateway.worker.worker import Handler, Worker
from providers.times import rfc3339_milliseconds

if TYPE_CHECKING:
    from gateway.tracing.spans import Spans

MOST_RETURNS = 16
"""Deliveries of a message that came back unsettled: more is no accident, it ends the processes that get it."""

_IN_FLIGHT_DELAY = 10.0  # seconds until an event is looked at again that another process handles
_AFTER_A_BUG = 1.0  # seconds
_UNTOLD_MOST = 1000

log = structlog.get_logger()


@dataclass(slots=True)
class _Outcome:
    """What became of a delivery.

    Attributes:
        name: handled, unhandled, duplicate, in_flight, retried, dead or handed_back; unsettled once the broker could
            not be told.
        failure: what the handler raised, if it did.
        delay: seconds until it is delivered again.
        headers: what is added to it.
    """

    name: str
    failure: BaseException | None = None
    delay: float = 0.0
    headers: Headers | None = None


class Runner:
    """Runs ``worker`` in this process.

    Args:
        worker: the declaration.
        queue: where its events come from.
        guard: what is done already; None when that does not matter.
        clock: Unix seconds.
        spans: makes spans, where there are any.

    Attributes:
        counts: how many deliveries had which outcome.
        abandoned: threads that did not finish within the grace, and go on until the process ends.
    """

    def __init__(
        self,
        worker: Worker,
        queue: Queue,
        guard: Guard | None,
        clock: Callable[[], float] = time.time,
        spans: Spans | None = None,
    ) -> None:
        self._worker = worker
        self._queue = queue
        self._guard = guard
        self._clock = clock
        self._spans = spans
        self._ladder = Ladder(worker.retry_from, worker.retry_most)
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._ending = asyncio.Event()
        self._threads = ThreadPoolExecutor(worker.concurrency, thread_name_prefix="handler")
        # Failures that the broker could not be told of: told when the event is delivered again.
        self._untold: OrderedDict[tuple[str, str], BaseException] = OrderedDict()
        self.counts: Counter[str] = Counter()
        self.abandoned = 0

    def end(self) -> None:
        """Have :meth:`run` receive nothing more, let handlers finish, and return."""
        self._ending.set()

    async def run(self) -> None:
        """Handle events until :meth:`end`.

        Raises:
            DeclarationChanged: the queue is not as the worker declares it.
            OSError: the embedded database cannot be opened.
        """
        if self._guard:
            await self._guard.start()
        try:
            await self._queue.start()
            try:
                await self._work()
            finally:
                await self._queue.stop()
        finally:
            if self._guard:
                await self._guard.stop()

    async def _work(self) -> None:
        receiving = asyncio.create_task(self._receive(), name="receiving")
        ending = asyncio.create_task(self._ending.wait(), name="waiting for the end")
        try:
            await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                receiving.result()
        finally:
            for task in (receiving, ending):
                task.cancel()
            await asyncio.gather(receiving, ending, return_exceptions=True)
            await self._finish()

    async def _receive(self) -> None:
        while True:
            while len(self._running) >= self._worker.concurrency:
                self._freed.clear()
                await self._freed.wait()
            for delivery in await self._queue.receive(self._worker.concurrency - len(self._running)):
                task = asyncio.create_task(self._handle(delivery))
                self._running.add(task)
                task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()

    async def _finish(self) -> None:
        """Let handlers finish within the grace; what is left then is delivered again."""
        await self._queue.pause()
        if self._running:
            log.info("finishing", queue=self._worker.queue, running=len(self._running))
            await asyncio.wait(self._running, timeout=self._worker.grace)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._deal_with(delivery)
        except Exception:  # a bug of ours must not keep the place of an event for ever
            log.exception("delivery not settled", queue=self._worker.queue)
            await asyncio.sleep(_AFTER_A_BUG)
            with suppress(DeliveryLost):
                await self._queue.hand_back(delivery)

    async def _deal_with(self, delivery: Delivery) -> None:
        started_at = time.perf_counter()
        event: Event | None = None
        try:
            event = Event.parse(delivery.body, delivery.attempts + 1)
        except NotAnEvent as error:
            outcome = self._buried(delivery, Dead(f"not an event: {error}"))
        else:
            outcome = await self._outcome_of(event, delivery)
        try:
            await self._settle(delivery, outcome)
        except DeliveryLost:
            outcome.name = "unsettled"
        self._tell(event, delivery, outcome, time.perf_counter() - started_at)
        if outcome.name == "unsettled" and event and outcome.failure:
            self._remember(event, outcome.failure)

    async def _outcome_of(self, event: Event, delivery: Delivery) -> _Outcome:
        handler = self._worker.handler_for(delivery.routing_key)
        if handler is None:
            return _Outcome("unhandled")
        untold = self._untold.pop((event.source, event.id), None)
        if untold:
            return self._failed(delivery, untold)
        if delivery.returns >= MOST_RETURNS:
            return self._buried(delivery, Dead(f"delivered {delivery.returns + 1} times and never settled"))
        if self._guard is None:
            return await self._attempt(handler, event, delivery, None)
        hold = self._guard.hold_of(event.source, event.id, delivery.replay)
        standing = await self._guard.take(hold)
        if standing is Standing.DONE:
            return _Outcome("duplicate")
        if standing is Standing.IN_FLIGHT:
            return _Outcome("in_flight", None, self._ladder.at_least(_IN_FLIGHT_DELAY), {})
        event.bind(hold)
        return await self._attempt(handler, event, delivery, hold)

    async def _attempt(
        self, handler: Handler, event: Event, delivery: Delivery, hold: Hold | None
    ) -> _Outcome:
        if self._spans is None:
            return await self._try(handler, event, delivery, hold)
        with self._spans.attempt(event, self._worker.queue, delivery.routing_key) as tell:
            outcome = await self._try(handler, event, delivery, hold)
            tell(outcome.name, _name_of(outcome.failure) if outcome.failure else None)
            return outcome

    async def _try(self, handler: Handler, event: Event, delivery: Delivery, hold: Hold | None) -> _Outcome:
        try:
            await self._call(handler, event)
        except asyncio.CancelledError as error:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr] # the handler's own affair
                self._let_go(hold)
                return self._failed(delivery, error)
            if inspect.iscoroutinefunction(handler):
                self._let_go(hold)
            else:
                self.abandoned += 1  # its thread goes on: the event is held for the rest of the lease
            return _Outcome("handed_back")
        except Exception as error:  # noqa: BLE001 -- whatever a handler raises is a failure of that event alone
            self._let_go(hold)
            return self._failed(delivery, error)
        if self._guard and hold:
            self._guard.finish(hold)
        return _Outcome("handled")

    async def _call(self, handler: Handler, event: Event) -> None:
        if inspect.iscoroutinefunction(handler):
            async with asyncio.timeout(self._worker.timeout):
                await cast("Callable[[Event], Awaitable[None]]", handler)(event)
        else:
            await asyncio.get_running_loop().run_in_executor(
                self._threads, copy_context().run, handler, event
            )

    def _let_go(self, hold: Hold | None) -> None:
        if self._guard and hold:
            self._guard.let_go(hold)

    def _failed(self, delivery: Delivery, error: BaseException) -> _Outcome:
        attempts = delivery.attempts + 1
        if isinstance(error, Dead) or attempts >= self._worker.attempts:
            return self._buried(delivery, error)
        after = error.after if isinstance(error, Retry) else None
        delay = self._ladder.after(attempts) if after is None else self._ladder.at_least(after)
        headers: Headers = {ATTEMPTS: attempts, FIRST_FAILED_AT: delivery.first_failed_at or self._now()}
        return _Outcome("retried", error, delay, headers)

    def _buried(self, delivery: Delivery, error: BaseException) -> _Outcome:
        now, attempts = self._now(), delivery.attempts + 1
        reason = error.reason if isinstance(error, Dead) else f"failed {attempts} times"
        headers: Headers = {
            REASON: reason,
            EXCEPTION: _name_of(error),
            ATTEMPTS: attempts,
            FIRST_FAILED_AT: delivery.first_failed_at or now,
            LAST_FAILED_AT: now,
            QUEUE: self._worker.queue,
        }
        return _Outcome("dead", error, 0.0, headers)

    async def _settle(self, delivery: Delivery, outcome: _Outcome) -> None:
        match outcome.name:
            case "handled" | "unhandled" | "duplicate":
                await self._queue.acknowledge(delivery)
            case "handed_back":
                await self._queue.hand_back(delivery)
            case "dead":
                await self._queue.bury(delivery, outcome.headers or {})
            case _:
                await self._queue.delay(delivery, outcome.delay, outcome.headers or {})

    def _remember(self, event: Event, failure: BaseException) -> None:
        self._untold[event.source, event.id] = failure.with_traceback(None)
        if len(self._untold) > _UNTOLD_MOST:
            self._untold.popitem(last=False)

    def _now(self) -> str:
        return rfc3339_milliseconds(self._clock())

    def _tell(self, event: Event | None, delivery: Delivery, outcome: _Outcome, seconds: float) -> None:
        """One line for each delivery; of a failure the exception's type and place, never its text or any value."""
        self.counts[outcome.name] += 1
        failure = outcome.failure
        fields = {
            "queue": self._worker.queue,
            "type": event.type if event else None,
            "id": event.id if event else None,
            "outcome": outcome.name,
            "attempts": delivery.attempts + 1,
            "ms": round(seconds * 1000, 1),
        }
        if failure is None:
            log.info("delivery", **fields)
            return
        if isinstance(failure, Dead):
            fields["reason"] = failure.reason
        elif failure.__traceback__ and not isinstance(failure, Retry):
            fields["trace"] = "".join(traceback.format_tb(failure.__traceback__))
        log.warning("delivery", **fields, delay=outcome.delay, error=_name_of(failure))


def _name_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
