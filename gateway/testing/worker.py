"""A worker in memory: the real runner and leases, on a queue whose clock the test moves.

The module has slightly more than 200 lines because most of them document a public class.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import orjson
from typing_extensions import override

from gateway.events.envelope import Envelope
from gateway.events.message import REASON, Message
from gateway.testing.gateway import MemoryGateway
from gateway.testing.queue import Clock, MemoryQueue
from gateway.transport.topic_patterns import matches
from gateway.worker import Event, Worker
from gateway.worker.idempotency import Idempotency
from gateway.worker.queue import Delivery
from gateway.worker.retry_policy import Settlement
from gateway.worker.runner import Runner
from gateway.worker.stats import Stats
from gateway.worker.store.memory import MemoryStore

_LEASE = 30.0
"""Seconds of a lease. None of them pass while a handler runs, so that a lease never expires."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one delivery of an event.

    Attributes:
        name: ``handled``, ``unhandled``, ``duplicate``, ``in_flight``, ``waiting``, ``limited``, ``retried``, ``dead`` or
            ``requeued``.
        event: The event.
        attempts: The number of the attempt, beginning with 1.
        error: What the handler raised.
        delay: Seconds until the event is delivered again.
        reason: Why the event is dead.
        result: What the handler passed to ``event.outcome``; empty if nothing.
    """

    name: str
    event: Event = field(repr=False)
    attempts: int
    error: BaseException | None = None
    delay: float = 0.0
    reason: str | None = None
    result: str = ""


class MemoryWorker:
    """Runs ``worker`` without servers, within an ``async with`` block.

    Time stands still except in :meth:`advance` and :meth:`drain`, so that a test never waits: the worker does not pause
    after failures, and a rate limit holds only together with ``by``. A second block acts as another process of the
    worker: events that wait and events that are done are still known.

    Args:
        worker: The worker to run.
        gateway: A gateway whose events the worker gets, as far as they match its patterns.

    Attributes:
        outcomes: The outcome of every delivery, in order.
    """

    def __init__(self, worker: Worker, gateway: MemoryGateway | None = None) -> None:
        self._worker = _without_waits(worker)
        self._gateway = gateway
        self._clock = Clock()
        self._store = MemoryStore(_LEASE, clock=self._clock)
        self._queue = MemoryQueue(self._clock)
        self._open: dict[Delivery, asyncio.Future[Outcome]] = {}
        self._runner: Runner | None = None
        self._running: asyncio.Task[None] | None = None
        self.outcomes: list[Outcome] = []

    @property
    def dead(self) -> list[Outcome]:
        """Return the outcomes of the events that went to the dead-letter queue."""
        return [outcome for outcome in self.outcomes if outcome.name == "dead"]

    @property
    def waiting(self) -> list[Event]:
        """Return the events that are delayed, soonest first."""
        return [delivery.tag for _, delivery in self._queue.waiting]

    async def __aenter__(self) -> Self:
        worker = self._worker
        idempotency = (
            Idempotency(self._store, worker.queue, _LEASE, worker.guard) if worker.guard != "off" else None
        )
        stats = _ObservedStats(worker.queue, self._on_settled)
        self._runner = Runner(worker, self._queue, idempotency, self._clock, stats=stats)
        self._running = asyncio.create_task(self._runner.run(), name=f"worker {worker.queue}")
        self._running.add_done_callback(self._on_end)
        for delivery in self._queue.take_ready():  # requeued when the block before ended
            self._begin(delivery)
        if self._gateway:
            self._gateway.listeners.append(self._on_message)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._gateway:
            self._gateway.listeners.remove(self._on_message)
        if self._runner:
            self._runner.end()
        if self._running:
            await self._running

    async def deliver(self, event: Event) -> Outcome:
        """Deliver an event, such as a sample, and return the outcome of that delivery.

        Later deliveries of the event happen in :meth:`advance` and :meth:`drain`.

        Raises:
            ValueError: The event matches none of the worker's patterns.
            RuntimeError: The worker is not running, or ended before the event was handled.
        """
        key, _ = Envelope(event.provider, event.adapter).names_of(event.eventtype)
        if not self._accepts(key):
            patterns = ", ".join(self._worker.events)
            raise ValueError(f"{key} never reaches queue {self._worker.queue}, whose events are {patterns}")
        settled = self._begin(Delivery(_encode(event), key, event.attempts - 1, "", "", 0, event))
        try:
            return await asyncio.shield(settled)  # a caller that is cancelled does not cancel the delivery
        except asyncio.CancelledError:
            if settled.cancelled():
                raise RuntimeError(f"the worker ended before {event.id} was handled") from None
            raise

    async def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds``, and handle every event that is due by then."""
        until = self._clock.now + seconds
        await self._until_settled()
        while self._queue.waiting and self._queue.waiting[0][0] <= until:
            self._clock.now = self._queue.waiting[0][0]
            for delivery in self._queue.take_due():
                self._begin(delivery)
            await self._until_settled()
        self._clock.now = until

    async def drain(self) -> None:
        """Move the clock forward until no event waits: each is done or dead."""
        await self._until_settled()
        while self._queue.waiting:
            await self.advance(self._queue.waiting[-1][0] - self._clock.now)

    async def _until_settled(self) -> None:
        while self._open:
            await asyncio.wait(self._open.values())

    def _begin(self, delivery: Delivery) -> asyncio.Future[Outcome]:
        if self._runner is None:
            raise RuntimeError("the worker is not running; use it within `async with MemoryWorker(worker)`")
        self._open[delivery] = asyncio.get_running_loop().create_future()
        self._queue.put(delivery)
        return self._open[delivery]

    def _on_message(self, message: Message) -> None:
        if self._accepts(message.routing_key):
            event = Event.parse(message.body)
            self._begin(Delivery(message.body, message.routing_key, 0, "", "", 0, event))

    def _accepts(self, routing_key: str) -> bool:
        return any(matches(pattern, routing_key) for pattern in self._worker.events)

    def _on_settled(self, event: Event | None, delivery: Delivery, settlement: Settlement) -> None:
        reason = (settlement.headers or {}).get(REASON)
        outcome = Outcome(
            name=settlement.name,
            event=delivery.tag,
            attempts=delivery.attempts + 1,
            error=settlement.failure,
            delay=settlement.delay,
            reason=None if reason is None else str(reason),
            result=event.named_outcome if event else "",
        )
        self.outcomes.append(outcome)
        if settled := self._open.pop(delivery, None):
            settled.set_result(outcome)

    def _on_end(self, _: asyncio.Task[None]) -> None:
        """Cancel the deliveries that the runner, which has ended, did not settle."""
        self._runner = None
        for settled in self._open.values():
            settled.cancel()
        self._open.clear()


class _ObservedStats(Stats):
    """Statistics that pass each settlement on to ``on_settled``."""

    def __init__(self, queue: str, on_settled: Callable[[Event | None, Delivery, Settlement], None]) -> None:
        super().__init__(queue)
        self._on_settled = on_settled

    @override
    def record(self, event: Event | None, delivery: Delivery, settlement: Settlement, seconds: float) -> None:
        super().record(event, delivery, settlement, seconds)
        self._on_settled(event, delivery, settlement)


def _without_waits(worker: Worker) -> Worker:
    """Return a copy of the worker that never waits by the real clock."""
    worker = copy(worker)
    worker.pause_after = None
    if worker.limited_by is None:
        worker.limit = None
    return worker


def _encode(event: Event) -> bytes:
    """Encode ``event`` as a CloudEvent in JSON."""
    fields = event.model_dump(mode="json", exclude={"data", "attempts"}, exclude_defaults=True)
    data = {"data": event.data}
    if isinstance(event.data, bytes):
        data = {"data_base64": b64encode(event.data).decode()}
    return orjson.dumps({"specversion": "1.0", **fields, **data})
