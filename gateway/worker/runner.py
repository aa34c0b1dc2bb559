"""The runner of a worker: it receives deliveries, has them handled, and settles each.

A delivery passes through :meth:`Runner._on_delivery` (decode), ``_process`` (choose the handler), ``_when_in_order``
(wait for its turn, if the worker is ordered), :meth:`gateway.worker.executor.Executor.run` and ``_settle``.

The module has slightly more than 200 lines because the steps of a delivery and the end of a worker share their
tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

import structlog

from gateway.journal.reports.sender import Reports
from gateway.worker.errors import Dead
from gateway.worker.event import Event, NotAnEvent
from gateway.worker.executor import Executor
from gateway.worker.handler_calls import contained_tasks
from gateway.worker.idempotency import Idempotency, Lease
from gateway.worker.ordering import Ordering
from gateway.worker.queue import Delivery, DeliveryLost, Queue
from gateway.worker.reporting import Reporter
from gateway.worker.retry_policy import FINAL, RetryPolicy, Settlement
from gateway.worker.stats import Stats
from gateway.worker.worker import Handler, Worker

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans

_BUG_DELAY = 1.0
"""Seconds before a delivery is requeued that a bug of ours kept from being settled: it would fail again at once."""

log = structlog.get_logger()


class Runner:
    """Runs ``worker`` in this process.

    Args:
        worker: The declaration.
        queue: The worker's queue.
        idempotency: The leases, turns and limits that all processes of the worker share; None if it uses none.
        clock: Returns Unix seconds.
        spans: Makes a trace span for each attempt; None without tracing.
        stats: Counts and logs deliveries; by default a new object.
        reports: Tells the journal of each attempt; None if there is no journal.

    Attributes:
        queue: As given.
        idempotency: As given.
        stats: What the process has done so far.
    """

    def __init__(
        self,
        worker: Worker,
        queue: Queue,
        idempotency: Idempotency | None,
        clock: Callable[[], float] = time.time,
        *,
        spans: Spans | None = None,
        stats: Stats | None = None,
        reports: Reports | None = None,
    ) -> None:
        self._worker = worker
        self.queue = queue
        self.idempotency = idempotency
        self.stats = stats or Stats(worker.queue)
        self._retry_policy = RetryPolicy(worker, clock)
        self._executor = Executor(worker, idempotency, self._retry_policy, self.stats, clock, spans)
        self._ordering = Ordering(worker.concurrency)
        self._running: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._reporter = (
            Reporter(worker, reports, self._executor, self.stats, self._running) if reports else None
        )

    @property
    def counts(self) -> Counter[str]:
        """Return the number of deliveries by outcome."""
        return self.stats.outcomes

    @property
    def in_hand(self) -> int:
        """Return the number of events that were received and are not settled."""
        return len(self._running)

    @property
    def is_paused(self) -> bool:
        """Return whether events stay in the queue, after failures or over the rate limit."""
        return self._executor.pause > 0

    @property
    def abandoned(self) -> int:
        """Return the number of threads that outlived the grace, and run until the process ends."""
        return self._executor.abandoned

    def end(self) -> None:
        """Have :meth:`run` stop receiving, let running handlers finish, and return."""
        self._executor.end()

    async def run(self) -> None:
        """Handle events until :meth:`end` is called.

        Raises:
            DeclarationChanged: The queue exists and differs from the worker's declaration.
            OSError: The embedded database cannot be opened.
        """
        async with AsyncExitStack() as stack:
            if self.idempotency:
                await self.idempotency.start()
                stack.push_async_callback(self.idempotency.stop)
            if self._reporter:
                await self._reporter.start()
                stack.push_async_callback(self._reporter.stop)
            await self.queue.start()
            stack.push_async_callback(self.queue.stop)
            with contained_tasks():
                await self._run_until_end()

    async def _run_until_end(self) -> None:
        receiving = asyncio.create_task(self._receive(), name="receiving")
        ending = asyncio.create_task(self._executor.ending.wait(), name="waiting for the end")
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
            while (room := self._worker.prefetch - len(self._running)) <= 0:
                self._freed.clear()
                await self._freed.wait()
            for delivery in await self.queue.receive(room):
                task = asyncio.create_task(self._on_delivery(delivery))
                self._running.add(task)
                task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._freed.set()

    async def _finish(self) -> None:
        """Let handlers finish within the grace, then cancel them: their events are redelivered.

        If this is cancelled, the grace ends at once.
        """
        self.end()
        try:
            await self.queue.pause()
            if self._running:
                log.info("finishing", queue=self._worker.queue, running=len(self._running))
                await asyncio.wait(self._running, timeout=self._worker.grace)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            self._executor.close()

    async def _on_delivery(self, delivery: Delivery) -> None:
        """Decode the event, process it, and record what came of it."""
        started_at = time.perf_counter()
        event: Event | None = None
        try:
            try:
                event = Event.parse(delivery.body, delivery.attempts + 1)
            except NotAnEvent as error:
                dead_lettered = self._retry_policy.dead_lettered(delivery, Dead(f"not an event: {error}"))
                settlement = await self._settle(delivery, dead_lettered)
            else:
                settlement = await self._process(event, delivery)
            seconds = time.perf_counter() - started_at
            self.stats.record(event, delivery, settlement, seconds)
            if self._reporter:
                self._reporter.record(event, delivery, settlement, seconds)
            if settlement.name == "unsettled" and event and settlement.failure:
                self._executor.keep_failure(event, settlement.failure)
        except Exception:  # a bug of ours; it must not keep the event's place for ever
            log.exception("delivery not settled", queue=self._worker.queue)
            await asyncio.sleep(_BUG_DELAY)
            with suppress(DeliveryLost):
                await self.queue.requeue(delivery)

    async def _process(self, event: Event, delivery: Delivery) -> Settlement:
        """Have the event's handler called; settle the delivery and return the settlement."""
        handler = self._worker.handler_for(delivery.routing_key)
        if handler is None:
            return await self._settle(delivery, Settlement("unhandled"))
        idempotency, ordered_by = self.idempotency, self._worker.ordered_by
        if idempotency is None or ordered_by is None:
            lease = idempotency.lease_for(event.source, event.key, delivery.replay) if idempotency else None
            return await self._settle(delivery, await self._executor.run(handler, event, delivery, lease))
        try:
            ordering_key = ordered_by(event)
        except BaseException as error:  # noqa: BLE001 -- `ordered_by` is the user's code, as the handler is
            return await self._settle(delivery, self._executor.fail(delivery, error))
        lease = idempotency.lease_for(event.source, event.key, delivery.replay, ordering_key)
        async with self._ordering.turn(ordering_key):
            return await self._when_in_order(handler, event, delivery, idempotency, lease)

    async def _when_in_order(
        self, handler: Handler, event: Event, delivery: Delivery, idempotency: Idempotency, lease: Lease
    ) -> Settlement:
        """Process the event if it is its turn among all processes; else defer it."""
        if self._executor.ending.is_set():
            settlement = Settlement("requeued")
        elif wait := await idempotency.take_turn(lease):
            settlement = self._retry_policy.deferred("waiting", wait)
        else:
            settlement = await self._executor.run(handler, event, delivery, lease)
        is_final = settlement.name in FINAL
        if is_final:
            await idempotency.release_turn(lease)
        elif settlement.delay:
            await idempotency.defer(lease, settlement.delay)
        await self._settle(delivery, settlement)
        # Only after the broker knows: a message that it delivers again must still be first in its sequence.
        if settlement.name in FINAL:
            idempotency.complete(lease)
        elif is_final:
            await idempotency.keep_turn(lease)
        return settlement

    async def _settle(self, delivery: Delivery, settlement: Settlement) -> Settlement:
        """Settle the delivery; return the settlement, renamed ``unsettled`` if that failed."""
        try:
            match settlement.name:
                case "handled" | "unhandled" | "duplicate":
                    await self.queue.acknowledge(delivery)
                case "requeued":
                    await self.queue.requeue(delivery)
                case "dead":
                    await self.queue.dead_letter(delivery, settlement.headers or {})
                case _:
                    await self.queue.delay(delivery, settlement.delay, settlement.headers or {})
        except DeliveryLost:
            settlement.name = "unsettled"
        return settlement
