"""Running a worker: receives events, has them handled, and settles each by what became of it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, cast

import structlog

from gateway.claims import Standing
from gateway.worker.breaker import Breaker
from gateway.worker.errors import Dead
from gateway.worker.event import Event, NotAnEvent
from gateway.worker.guard import Guard, Hold
from gateway.worker.lanes import Lanes
from gateway.worker.outcome import ENDS, Outcome, Verdicts, name_of
from gateway.worker.queue import Delivery, DeliveryLost, Queue
from gateway.worker.report import Report
from gateway.worker.worker import Handler, Worker

if TYPE_CHECKING:
    from gateway.tracing.spans import Spans

MOST_RETURNS = 16
"""Deliveries of a message that came back unsettled: more is no accident, it ends the processes that get it."""

_LONGEST_WAIT = 60.0
"""Seconds that an event which is over the limit waits here for its moment; beyond, it goes back into a queue."""

_AFTER_A_BUG = 1.0  # seconds
_UNTOLD_MOST = 1000

log = structlog.get_logger()


class Runner:
    """Runs ``worker`` in this process.

    Args:
        worker: the declaration.
        queue: where its events come from.
        guard: what its processes agree on; None when that does not matter.
        clock: Unix seconds.
        spans: makes spans, where there are any.

    Attributes:
        report: what is told of the deliveries.
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
        self._verdicts = Verdicts(worker, clock)
        self._lanes = Lanes(worker.concurrency)
        self._breaker = Breaker(worker.pause_after, time.monotonic)
        self._held_up_until = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._ending = asyncio.Event()
        self._threads = ThreadPoolExecutor(worker.concurrency, thread_name_prefix="handler")
        # Failures that the broker could not be told of: told when the event is delivered again.
        self._untold: OrderedDict[tuple[str, str], BaseException] = OrderedDict()
        self.report = Report(worker.queue)
        self.abandoned = 0

    @property
    def counts(self) -> Counter[str]:
        """How many deliveries had which outcome."""
        return self.report.outcomes

    @property
    def in_hand(self) -> int:
        """Events that were received and are not settled."""
        return len(self._running)

    @property
    def is_paused(self) -> bool:
        """Whether events are left in the queue, after failures or over the limit."""
        return self._pause() > 0

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
            for delivery in await self._queue.receive(await self._room()):
                await self._room()  # handlers may have begun to fail while it was waited for
                task = asyncio.create_task(self._handle(delivery))
                self._running.add(task)
                task.add_done_callback(self._on_done)

    async def _room(self) -> int:
        """How many more events may be begun; waits until one may."""
        while True:
            pause = self._pause()
            room = (1 if self._breaker.is_open else self._worker.in_hand) - len(self._running)
            if room > 0 and not pause:
                return room
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause or None):
                    await self._freed.wait()

    def _pause(self) -> float:
        """Seconds during which nothing is to be begun."""
        return max(self._breaker.pause, self._held_up_until - time.monotonic(), 0.0)

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
            buried = self._verdicts.buried(delivery, Dead(f"not an event: {error}"))
            outcome = await self._settle(delivery, buried)
        else:
            outcome = await self._see_to(event, delivery)
        self.report.tell(event, delivery, outcome, time.perf_counter() - started_at)
        if outcome.name == "unsettled" and event and outcome.failure:
            self._remember(event, outcome.failure)

    async def _see_to(self, event: Event, delivery: Delivery) -> Outcome:
        """What became of the event, which the broker has been told then."""
        handler = self._worker.handler_for(delivery.routing_key)
        if handler is None:
            return await self._settle(delivery, Outcome("unhandled"))
        if self._guard is None:
            return await self._settle(delivery, await self._try(handler, event, delivery, None))
        try:
            subject = self._worker.ordered_by(event) if self._worker.ordered_by else None
        except Exception as error:  # noqa: BLE001 -- it is the user's, as the handler is
            return await self._settle(delivery, self._fail(delivery, error))
        hold = self._guard.hold_of(event.source, event.id, delivery.replay, subject)
        if self._worker.ordered_by is None:
            return await self._settle(delivery, await self._try(handler, event, delivery, hold))
        async with self._lanes.turn(subject):
            return await self._take_turn(handler, event, delivery, self._guard, hold)

    async def _take_turn(
        self, handler: Handler, event: Event, delivery: Delivery, guard: Guard, hold: Hold
    ) -> Outcome:
        if self._ending.is_set():
            outcome = Outcome("handed_back")
        elif wait := await guard.stand(hold):
            outcome = self._verdicts.put_off("waiting", wait)
        else:
            outcome = await self._try(handler, event, delivery, hold)
        if outcome.delay:
            guard.put_off(hold, outcome.delay)
        await self._settle(delivery, outcome)
        if (
            outcome.name in ENDS
        ):  # not before the broker knows: what it delivers again must still be the first
            guard.leave(hold)
        return outcome

    async def _try(self, handler: Handler, event: Event, delivery: Delivery, hold: Hold | None) -> Outcome:
        untold = self._untold.pop((event.source, event.id), None)
        if untold:
            return self._verdicts.failed(delivery, untold)
        if delivery.returns >= MOST_RETURNS:
            reason = f"delivered {delivery.returns + 1} times and never settled"
            return self._verdicts.buried(delivery, Dead(reason))
        if self._guard and hold:
            standing = await self._guard.take(hold)
            if standing is Standing.DONE:
                return Outcome("duplicate")
            if standing is Standing.IN_FLIGHT:
                return self._verdicts.in_flight()
            event.bind(hold)
            if self._worker.limit and (outcome := await self._hold_up(event, delivery, self._guard)):
                self._let_go(hold)
                return outcome
        return await self._attempt(handler, event, delivery, hold)

    async def _attempt(
        self, handler: Handler, event: Event, delivery: Delivery, hold: Hold | None
    ) -> Outcome:
        if self._spans is None:
            return await self._have_handled(handler, event, delivery, hold)
        with self._spans.attempt(event, self._worker.queue, delivery.routing_key) as tell:
            outcome = await self._have_handled(handler, event, delivery, hold)
            tell(outcome.name, name_of(outcome.failure) if outcome.failure else None)
            return outcome

    async def _have_handled(
        self, handler: Handler, event: Event, delivery: Delivery, hold: Hold | None
    ) -> Outcome:
        try:
            await self._call(handler, event)
        except asyncio.CancelledError as error:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr] # the handler's own affair
                self._let_go(hold)
                return self._fail(delivery, error)
            if inspect.iscoroutinefunction(handler):
                self._let_go(hold)
            else:
                self.abandoned += 1  # its thread goes on: the event is held for the rest of the lease
            return Outcome("handed_back")
        except Exception as error:  # noqa: BLE001 -- whatever a handler raises is a failure of that event alone
            self._let_go(hold)
            return self._fail(delivery, error)
        self._breaker.note_success()
        if self._guard and hold:
            self._guard.finish(hold)
        return Outcome("handled")

    async def _hold_up(self, event: Event, delivery: Delivery, guard: Guard) -> Outcome | None:
        """Wait until the limit lets the event begin; what becomes of it where that would take too long."""
        limit, by = self._worker.limit, self._worker.limited_by
        if limit is None:
            return None
        try:
            value = str(by(event) or "") if by else ""
        except Exception as error:  # noqa: BLE001 -- it is the user's, as the handler is
            return self._fail(delivery, error)
        longest_wait = 0.0 if by else _LONGEST_WAIT  # those of one value must not keep the places of others
        wait = await guard.reserve(limit, value, longest_wait)
        if wait > longest_wait:
            if not by:
                self._held_up_until = time.monotonic() + longest_wait
            return self._verdicts.put_off("limited", wait)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._ending.wait()
                return Outcome("handed_back")
        return None

    async def _call(self, handler: Handler, event: Event) -> None:
        if event.attempts == 1 and event.receivedat and not event.replayed:
            self.report.lags.observe(max(self._clock() - event.receivedat.timestamp(), 0.0))
        started_at = time.perf_counter()
        try:
            if inspect.iscoroutinefunction(handler):
                async with asyncio.timeout(self._worker.timeout):
                    await cast("Callable[[Event], Awaitable[None]]", handler)(event)
            else:
                await asyncio.get_running_loop().run_in_executor(
                    self._threads, copy_context().run, handler, event
                )
        finally:
            self.report.durations.observe(time.perf_counter() - started_at)

    def _let_go(self, hold: Hold | None) -> None:
        if self._guard and hold:
            self._guard.let_go(hold)

    def _fail(self, delivery: Delivery, error: BaseException) -> Outcome:
        if not isinstance(error, Dead) and (pause := self._breaker.note_failure()):
            log.warning("paused", queue=self._worker.queue, seconds=pause)
        return self._verdicts.failed(delivery, error)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        """The outcome, of which the broker is told; ``unsettled`` where it cannot be."""
        try:
            match outcome.name:
                case "handled" | "unhandled" | "duplicate":
                    await self._queue.acknowledge(delivery)
                case "handed_back":
                    await self._queue.hand_back(delivery)
                case "dead":
                    await self._queue.bury(delivery, outcome.headers or {})
                case _:
                    await self._queue.delay(delivery, outcome.delay, outcome.headers or {})
        except DeliveryLost:
            outcome.name = "unsettled"
        return outcome

    def _remember(self, event: Event, failure: BaseException) -> None:
        self._untold[event.source, event.id] = failure.with_traceback(None)
        if len(self._untold) > _UNTOLD_MOST:
            self._untold.popitem(last=False)
