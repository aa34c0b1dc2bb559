"""A worker in memory: the real runner and guard, on a queue whose time passes when the test says so."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import orjson

from gateway.events.envelope import Envelope
from gateway.events.message import REASON, Message
from gateway.testing.gateway import MemoryGateway
from gateway.testing.queue import Clock, MemoryQueue
from gateway.transport.topic_patterns import matches
from gateway.worker import Event, Worker
from gateway.worker import retry_policy as verdict
from gateway.worker.idempotency import Idempotency
from gateway.worker.queue import Delivery
from gateway.worker.runner import Runner
from gateway.worker.stats import Stats
from gateway.worker.store.memory import MemoryStore

_LEASE = 30.0  # seconds; while a handler runs, none of them pass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery of an event.

    Attributes:
        name: ``handled``, ``unhandled``, ``duplicate``, ``in_flight``, ``waiting``, ``limited``, ``retried``, ``dead`` or
            ``requeued``.
        event: which event.
        attempts: which attempt to handle it that was.
        error: what the handler raised.
        delay: seconds until it is delivered again.
        reason: why it is dead.
    """

    name: str
    event: Event = field(repr=False)
    attempts: int
    error: BaseException | None = None
    delay: float = 0.0
    reason: str | None = None


class MemoryWorker:
    """Runs ``worker`` without servers, for as long as the ``async with`` block.

    Its time stands still but for :meth:`advance` and :meth:`drain`, so that nothing is waited for: it does not pause
    after failures, and a limit holds only where it is one of each value (``by``). A second block is another process of
    it: what waits and what is done is still there.

    Args:
        worker: what to run.
        gateway: whose events it gets, as far as they are those of the worker; none when left out.

    Attributes:
        outcomes: what became of every delivery, in order.
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
        """Of the events that were given up, the last outcome."""
        return [outcome for outcome in self.outcomes if outcome.name == "dead"]

    @property
    def waiting(self) -> list[Event]:
        """The events that are delivered again, soonest first."""
        return [delivery.tag for _, delivery in self._queue.waiting]

    async def __aenter__(self) -> Self:
        worker = self._worker
        guard = (
            Idempotency(self._store, worker.queue, _LEASE, worker.guard) if worker.guard != "off" else None
        )
        report = _Watched(worker.queue, self._note)
        self._runner = Runner(worker, self._queue, guard, self._clock, report=report)
        self._running = asyncio.create_task(self._runner.run(), name=f"worker {worker.queue}")
        self._running.add_done_callback(self._give_up)
        for delivery in self._queue.take_ready():  # handed back by the block before
            self._begin(delivery)
        if self._gateway:
            self._gateway.listeners.append(self._hear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._gateway:
            self._gateway.listeners.remove(self._hear)
        if self._runner:
            self._runner.end()
        if self._running:
            await self._running

    async def deliver(self, event: Event) -> Outcome:
        """Deliver an event, such as a sample, and tell what becomes of that delivery.

        What is delivered again is delivered by :meth:`advance` and :meth:`drain`.

        Raises:
            ValueError: the queue of the worker would never get this event.
            RuntimeError: the worker does not run, or ended before it was handled.
        """
        key, _ = Envelope(event.provider, event.adapter).names_of(event.eventtype)
        if not self._wants(key):
            patterns = ", ".join(self._worker.events)
            raise ValueError(f"{key} never comes to queue {self._worker.queue}, which is for {patterns}")
        begun = self._begin(Delivery(_encode(event), key, event.attempts - 1, "", "", 0, event))
        try:
            return await asyncio.shield(begun)  # whoever stops waiting for it does not stop it
        except asyncio.CancelledError:
            if begun.cancelled():
                raise RuntimeError(f"the worker ended before {event.id} was handled") from None
            raise

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and have everything handled that is due until then."""
        until = self._clock.now + seconds
        await self._settle()
        while self._queue.waiting and self._queue.waiting[0][0] <= until:
            self._clock.now = self._queue.waiting[0][0]
            for delivery in self._queue.take_due():
                self._begin(delivery)
            await self._settle()
        self._clock.now = until

    async def drain(self) -> None:
        """Let time pass until no event waits any more: each is done with, or dead."""
        await self._settle()
        while self._queue.waiting:
            await self.advance(self._queue.waiting[-1][0] - self._clock.now)

    async def _settle(self) -> None:
        while self._open:
            await asyncio.wait(self._open.values())

    def _begin(self, delivery: Delivery) -> asyncio.Future[Outcome]:
        if self._runner is None:
            raise RuntimeError("the worker does not run; use it within `async with MemoryWorker(worker)`")
        self._open[delivery] = asyncio.get_running_loop().create_future()
        self._queue.put(delivery)
        return self._open[delivery]

    def _hear(self, message: Message) -> None:
        if self._wants(message.routing_key):
            event = Event.parse(message.body)
            self._begin(Delivery(message.body, message.routing_key, 0, "", "", 0, event))

    def _wants(self, routing_key: str) -> bool:
        return any(matches(pattern, routing_key) for pattern in self._worker.events)

    def _note(self, delivery: Delivery, outcome: verdict.Settlement) -> None:
        reason = (outcome.headers or {}).get(REASON)
        told = Outcome(
            name=outcome.name,
            event=delivery.tag,
            attempts=delivery.attempts + 1,
            error=outcome.failure,
            delay=outcome.delay,
            reason=None if reason is None else str(reason),
        )
        self.outcomes.append(told)
        if begun := self._open.pop(delivery, None):
            begun.set_result(told)

    def _give_up(self, _: asyncio.Task[None]) -> None:
        """Nothing is dealt with any more."""
        self._runner = None
        for begun in self._open.values():
            begun.cancel()
        self._open.clear()


class _Watched(Stats):
    """Tells ``note`` what became of each delivery."""

    def __init__(self, queue: str, note: Callable[[Delivery, verdict.Settlement], None]) -> None:
        super().__init__(queue)
        self._note = note

    def tell(
        self, event: Event | None, delivery: Delivery, outcome: verdict.Settlement, seconds: float
    ) -> None:
        """See :class:`gateway.worker.stats.Stats`."""
        super().tell(event, delivery, outcome, seconds)
        self._note(delivery, outcome)


def _without_waits(worker: Worker) -> Worker:
    """The worker, but that it never waits by itself."""
    worker = copy(worker)
    worker.pause_after = None
    if worker.limited_by is None:
        worker.limit = None
    return worker


def _encode(event: Event) -> bytes:
    """The CloudEvent that is read as ``event``."""
    fields = event.model_dump(mode="json", exclude={"data", "attempts"}, exclude_defaults=True)
    data = {"data": event.data}
    if isinstance(event.data, bytes):
        data = {"data_base64": b64encode(event.data).decode()}
    return orjson.dumps({"specversion": "1.0", **fields, **data})
