"""Running a worker: receives events, has them handled, and settles each by what became of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from gateway.worker.errors import Dead
from gateway.worker.event import Event, NotAnEvent
from gateway.worker.executor import Executor, contained_tasks
from gateway.worker.idempotency import Idempotency, Lease
from gateway.worker.ordering import Ordering
from gateway.worker.queue import Delivery, DeliveryLost, Queue
from gateway.worker.retry_policy import FINAL, RetryPolicy, Settlement
from gateway.worker.stats import Stats
from gateway.worker.worker import Handler, Worker

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans

_AFTER_A_BUG = 1.0  # seconds

log = structlog.get_logger()


class Runner:
    """Runs ``worker`` in this process.

    Args:
        worker: the declaration.
        queue: where its events come from.
        guard: what its processes agree on; None when that does not matter.
        clock: Unix seconds.
        spans: makes spans, where there are any.
        report: is told what became of each delivery.
    """

    def __init__(
        self,
        worker: Worker,
        queue: Queue,
        guard: Idempotency | None,
        clock: Callable[[], float] = time.time,
        *,
        spans: Spans | None = None,
        report: Stats | None = None,
    ) -> None:
        self._worker = worker
        self._queue = queue
        self._guard = guard
        self.report = report or Stats(worker.queue)
        self._retry_policy = RetryPolicy(worker, clock)
        self._attempts = Executor(worker, guard, self._retry_policy, self.report, clock, spans)
        self._lanes = Ordering(worker.concurrency)
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()

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
        """Whether events are left alone, after failures or over the limit."""
        return self._attempts.pause > 0

    @property
    def abandoned(self) -> int:
        """Threads that did not finish within the grace, and go on until the process ends."""
        return self._attempts.abandoned

    def end(self) -> None:
        """Have :meth:`run` receive nothing more, let handlers finish, and return."""
        self._attempts.end()

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
                with contained_tasks():
                    await self._work()
            finally:
                await self._queue.stop()
        finally:
            if self._guard:
                await self._guard.stop()

    async def _work(self) -> None:
        receiving = asyncio.create_task(self._receive(), name="receiving")
        ending = asyncio.create_task(self._attempts.ending.wait(), name="waiting for the end")
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
            while (room := self._worker.in_hand - len(self._running)) <= 0:
                self._freed.clear()
                await self._freed.wait()
            for delivery in await self._queue.receive(room):
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
        self._attempts.close()

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._deal_with(delivery)
        except Exception:  # a bug of ours must not keep the place of an event for ever
            log.exception("delivery not settled", queue=self._worker.queue)
            await asyncio.sleep(_AFTER_A_BUG)
            with suppress(DeliveryLost):
                await self._queue.requeue(delivery)

    async def _deal_with(self, delivery: Delivery) -> None:
        started_at = time.perf_counter()
        event: Event | None = None
        try:
            event = Event.parse(delivery.body, delivery.attempts + 1)
        except NotAnEvent as error:
            dead_lettered = self._retry_policy.dead_lettered(delivery, Dead(f"not an event: {error}"))
            outcome = await self._settle(delivery, dead_lettered)
        else:
            outcome = await self._see_to(event, delivery)
        self.report.tell(event, delivery, outcome, time.perf_counter() - started_at)
        if outcome.name == "unsettled" and event and outcome.failure:
            self._attempts.remember(event, outcome.failure)

    async def _see_to(self, event: Event, delivery: Delivery) -> Settlement:
        """What became of the event, which the broker has been told then."""
        handler = self._worker.handler_for(delivery.routing_key)
        if handler is None:
            return await self._settle(delivery, Settlement("unhandled"))
        guard, ordered_by = self._guard, self._worker.ordered_by
        if guard is None or ordered_by is None:
            hold = guard.lease_for(event.source, event.key, delivery.replay) if guard else None
            return await self._settle(delivery, await self._attempts.make(handler, event, delivery, hold))
        try:
            subject = ordered_by(event)
        except BaseException as error:  # noqa: BLE001 -- it is the user's, as the handler is
            return await self._settle(delivery, self._attempts.fail(delivery, error))
        hold = guard.lease_for(event.source, event.key, delivery.replay, subject)
        async with self._lanes.turn(subject):
            return await self._take_turn(handler, event, delivery, guard, hold)

    async def _take_turn(
        self, handler: Handler, event: Event, delivery: Delivery, guard: Idempotency, hold: Lease
    ) -> Settlement:
        if self._attempts.ending.is_set():
            outcome = Settlement("requeued")
        elif wait := await guard.stand(hold):
            outcome = self._retry_policy.defer("waiting", wait)
        else:
            outcome = await self._attempts.make(handler, event, delivery, hold)
        is_over = outcome.name in FINAL
        if is_over:
            await guard.part(hold)
        elif outcome.delay:
            await guard.defer(hold, outcome.delay)
        await self._settle(delivery, outcome)
        if outcome.name in FINAL:  # the broker knows: what it delivers again must still be the first
            guard.leave(hold)
        elif is_over:
            await guard.stay(hold)
        return outcome

    async def _settle(self, delivery: Delivery, outcome: Settlement) -> Settlement:
        """The outcome, of which the broker is told; ``unsettled`` where it cannot be."""
        try:
            match outcome.name:
                case "handled" | "unhandled" | "duplicate":
                    await self._queue.acknowledge(delivery)
                case "requeued":
                    await self._queue.requeue(delivery)
                case "dead":
                    await self._queue.dead_letter(delivery, outcome.headers or {})
                case _:
                    await self._queue.delay(delivery, outcome.delay, outcome.headers or {})
        except DeliveryLost:
            outcome.name = "unsettled"
        return outcome
