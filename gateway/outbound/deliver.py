"""Deliver what is due: the owner of endpoints chooses which delivery is next, and begins its attempt.

    store: due deliveries ─▶ window of each endpoint ─▶ turns ─▶ lane ─▶ attempt ─▶ recorder ─▶ store

Order, concurrency, rate, circuit and latency of an endpoint are plain variables here, because no other process sends to it.
The store is asked each second, and right after something was accepted in this process.

The module is over 200 lines: these steps share the senders, and none of them works without the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from gateway.outbound.bodies import Bodies
from gateway.outbound.directory import Directory
from gateway.outbound.ids import shard_of
from gateway.outbound.lanes import SLOW_AFTER, Lane, Lanes, Place
from gateway.outbound.models import (
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Health,
    OutboundMessage,
)
from gateway.outbound.ownership import RENEW_INTERVAL, Ownership
from gateway.outbound.recorder import Recorder
from gateway.outbound.sender import Sender
from gateway.outbound.store import Record, Store, StoreUnavailable
from gateway.outbound.turns import Turns

POLL_INTERVAL = 1.0
"""Seconds between two looks at what is due."""

GRACE = 20.0
"""Seconds that attempts have when the process ends. What is under way then is cut off, and sent again by the next owner."""

_RECORD_TIMEOUT = 5.0
"""Seconds that the last outcomes have to be written."""

_MIN_WAIT = 0.001
"""Seconds before an endpoint is looked at again: a wait that a float cannot add to the clock would never end."""

_HEALTHS = 500
"""Endpoints whose health is written in one transaction: in the first seconds of a process, that is each that gets something."""

_READERS = 8
"""Endpoints whose due deliveries are read at a time."""

log = structlog.get_logger()


class Attempter(Protocol):
    """Makes attempts, and decides what follows."""

    def sender_of(self, endpoint: Endpoint, health: Health) -> Sender:
        """Return what an owner needs of an endpoint."""

    async def attempt(self, sender: Sender, delivery: Delivery, message: OutboundMessage | None) -> Record:
        """Make one attempt; return what is to be recorded, under epoch 0. If it is cancelled, it is interrupted."""


class Deliverer:
    """Owns endpoints, and delivers to them.

    Args:
        store: Has the deliveries.
        directory: Has the endpoints.
        ownership: Says which of them are ours.
        attempter: Makes attempts.
        clock: Returns Unix seconds as the database has them.
        lanes: The places for attempts.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        ownership: Ownership,
        attempter: Attempter,
        clock: Callable[[], float],
        lanes: Lanes | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._ownership = ownership
        self._attempter = attempter
        self._clock = clock
        self.lanes = lanes or Lanes()
        self.recorder = Recorder(store, self._on_recorded)
        self.bodies = Bodies(store)
        self.senders: dict[str, Sender] = {}
        self._turns = {lane: Turns() for lane in Lane}
        self._attempts: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._reading = asyncio.Semaphore(_READERS)
        self._readers: set[asyncio.Task[None]] = set()
        self._is_pumping = self._is_ending = False
        self._failure = ""

    async def start(self) -> None:
        """Begin to own endpoints and to deliver."""
        self.recorder.start()
        self._tasks = [
            asyncio.create_task(self._every(RENEW_INTERVAL, self._renew), name="renewing leases"),
            asyncio.create_task(self._every(POLL_INTERVAL, self.poll), name="looking for due deliveries"),
        ]

    async def stop(self, grace: float = GRACE) -> None:
        """Begin nothing new; give up what is idle, let attempts end, and write their outcomes."""
        self._is_ending = True
        idle = set(self._ownership.owned) - self._busy()
        with suppress(StoreUnavailable):
            await self._ownership.release(idle)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=grace)
        for attempt in self._attempts:
            attempt.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        await self.recorder.stop(_RECORD_TIMEOUT)
        for task in (*self._tasks, *self._readers):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._readers, return_exceptions=True)
        with suppress(StoreUnavailable):
            await self._save_health()
            await self._ownership.release()

    # What is due.

    async def poll(self) -> None:
        """Look what is due.

        Raises:
            StoreUnavailable: The store cannot say so.
        """
        await self._save_health()
        now = self._clock()
        for endpoint, due_at in (await self._store.next_due(self._directory.endpoints)).items():
            if due_at <= now and self._may_send(endpoint):
                sender = self._sender_of(endpoint)
                sender.has_more = True
                self._wake(sender)

    async def refresh(self) -> None:
        """Go on with the endpoints as they are now.

        Raises:
            StoreUnavailable: They could not be read.
        """
        if await self._directory.refresh():
            self._adopt()

    @property
    def is_without_database(self) -> bool:
        """Whether the database cannot be used, so that no attempt begins."""
        return bool(self._failure) or self.recorder.is_failing

    def on_accepted(self, accepted: Sequence[tuple[OutboundMessage, Sequence[Delivery]]]) -> None:
        """Take what was accepted in this process, without asking the store for it."""
        for message, deliveries in accepted:
            for delivery in deliveries:
                if delivery.state is not DeliveryState.PENDING or not self._may_send(delivery.endpoint):
                    continue
                sender = self._sender_of(delivery.endpoint)
                if delivery.order_key or sender.has_more or not sender.room:
                    sender.has_more = True  # what is due longer goes first
                else:
                    self.bodies.put(message)
                    sender.add([delivery])
                self._wake(sender)

    def _may_send(self, endpoint: str) -> bool:
        health = self._directory.health.get(endpoint)
        return (
            health is not None
            and health.state is EndpointState.ENABLED
            and self._ownership.epoch_of(endpoint) is not None
        )

    def _sender_of(self, endpoint: str) -> Sender:
        sender = self.senders.get(endpoint)
        if sender is None:
            known = self._directory
            sender = self._attempter.sender_of(known.endpoints[endpoint], known.health[endpoint])
            self.senders[endpoint] = sender
        return sender

    def _adopt(self) -> None:
        """Go on with endpoints as they are now: changed, paused, enabled again or gone."""
        for name, sender in list(self.senders.items()):
            endpoint, health = self._directory.endpoints.get(name), self._directory.health.get(name)
            if endpoint is None or health is None:
                self._drop(name)
            elif endpoint != sender.endpoint:
                sender.change(endpoint)
            elif sender.has_window:
                sender.forget_window()
            if health is not None and health.state is not sender.behaviour.health.state:
                sender.behaviour.adopt(health)  # a person has decided; what we knew counts no more

    def _drop(self, endpoint: str) -> None:
        sender = self.senders[endpoint]
        for lane in Lane:
            self._turns[lane].discard(sender.endpoint.tenant, endpoint)
        sender.forget_window()
        if sender.is_idle:
            del self.senders[endpoint]

    def _wake(self, sender: Sender) -> None:
        """Let an endpoint take turns, after its due deliveries are read if there may be more."""
        if self._is_ending:
            return
        if sender.has_more and sender.room and not sender.is_filling:
            sender.is_filling = True
            self._spawn(self._readers, self._fill(sender))
        if sender.has_window:
            self._turns[sender.lane].add(sender.endpoint.tenant, sender.endpoint.id)
            self._pump_soon()

    async def _fill(self, sender: Sender) -> None:
        """Read due deliveries into the window of an endpoint."""
        try:
            async with self._reading:
                room = sender.room
                sender.has_more = False
                sender.begin_filling()
                due = await self._store.due(sender.endpoint.id, self._clock(), room, tuple(sender.known()))
                await self.bodies.fetch(each.message for each in due)
        except StoreUnavailable as error:
            sender.has_more = True  # the next look tries again
            self._note_failure(error)
            return
        finally:
            sender.is_filling = False
        if not self._may_send(sender.endpoint.id):
            return
        known = set(sender.known())
        sender.add([each for each in due if each.id not in known])
        sender.has_more = sender.has_more or len(due) == room
        if due:
            self._wake(sender)

    # Attempts.

    def _pump_soon(self) -> None:
        if not self._is_pumping:
            self._is_pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Begin attempts for as long as there are places, turns and things to send."""
        self._is_pumping = False
        for lane, turns in self._turns.items():
            while self._may_begin and self.lanes.has_room(lane):
                endpoint = turns.next()
                if endpoint is None:
                    break
                if not self._begin(self.senders[endpoint], lane):
                    turns.discard(self.senders[endpoint].endpoint.tenant, endpoint)

    @property
    def _may_begin(self) -> bool:
        """Whether an attempt that begins now can be recorded."""
        return not self._is_ending and not self._failure and self.recorder.may_begin

    def _begin(self, sender: Sender, lane: Lane) -> bool:
        """Begin an attempt of an endpoint; return False if it has to wait."""
        loop = asyncio.get_running_loop()
        if not self._may_send(sender.endpoint.id):
            sender.forget_window()
            return False
        wait = sender.wait(self._clock())
        if wait is None or sender.lane is not lane:
            return False
        if wait > 0:
            loop.call_later(max(wait, _MIN_WAIT), self._wake, sender)
            return False
        delivery = sender.take()
        if delivery is None:
            return False
        self.lanes.enter(lane)
        self._spawn(self._attempts, self._attempt(sender, delivery, lane))
        return True

    async def _attempt(self, sender: Sender, delivery: Delivery, lane: Lane) -> None:
        place = Place(self.lanes, lane, self._pump_soon)
        timer = asyncio.get_running_loop().call_later(SLOW_AFTER, place.become_slow)
        try:
            message = await self.bodies.get(delivery.message)
            record = await self._attempter.attempt(sender, delivery, message)
        except StoreUnavailable as error:
            self._note_failure(error)
            self._return(sender, delivery)
            return
        except Exception:  # a bug with one delivery must not cost its endpoint a place for ever
            log.exception("attempt failed", delivery=delivery.id, endpoint=delivery.endpoint)
            self._return(sender, delivery)
            return
        finally:
            timer.cancel()
            place.leave()
        sender.note_end()
        sender.lane = Lane.SLOW if place.lane is Lane.SLOW or sender.behaviour.is_failing else Lane.FAST
        epoch = self._ownership.epoch_of(sender.endpoint.id)
        self.recorder.put(record._replace(epoch=-1 if epoch is None else epoch))
        self._wake(sender)

    def _return(self, sender: Sender, delivery: Delivery) -> None:
        """Leave a delivery as the store has it, for a later look."""
        sender.note_end()
        sender.note_recorded(delivery.id)
        sender.has_more = True

    def _on_recorded(self, records: Sequence[Record], held: Sequence[bool]) -> None:
        for record in records:
            if sender := self.senders.get(record.delivery.endpoint):
                sender.note_recorded(record.delivery.id)
                if self._ownership.epoch_of(record.delivery.endpoint) is None:
                    self._drop(record.delivery.endpoint)
                else:
                    self._wake(sender)
        self._pump_soon()
        if lost := held.count(False):
            log.info("outcomes refused", attempts=lost)

    # Leases, health, failures.

    def _busy(self) -> set[int]:
        return {shard_of(each) for each, sender in self.senders.items() if not sender.is_idle}

    async def _renew(self) -> None:
        await self._ownership.renew(self._busy(), takes_more=not self._is_ending)
        for gone in [each for each in self.senders if self._ownership.epoch_of(each) is None]:
            self._drop(gone)

    async def _save_health(self) -> None:
        """Write what was learnt of endpoints, as far as it matters to somebody else or after a crash."""
        known, now = self._directory.health, self._clock()
        found = [
            (sender, health, known[name].state)
            for name, sender in self.senders.items()
            if name in known and (health := sender.behaviour.unsaved(now)) is not None
        ]
        for start in range(0, len(found), _HEALTHS):
            part = found[start : start + _HEALTHS]
            were = await self._store.put_healths([(health, was) for _, health, was in part])
            for (sender, health, _), as_expected in zip(part, were, strict=True):
                if as_expected:  # else a person has decided meanwhile, and the next look reads it
                    sender.behaviour.note_saved(health, now)
                    if health.endpoint in known:
                        known[health.endpoint] = health

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreUnavailable as error:
                self._note_failure(error)
            except Exception:  # if this task ended, nothing would be delivered any more
                log.exception("way out failed")
            else:
                self._note_success()
            await asyncio.sleep(seconds)

    def _note_failure(self, error: StoreUnavailable) -> None:
        if str(error) != self._failure:  # logged once, not at every look
            log.warning("database unavailable", cause=str(error))
        self._failure = str(error)

    def _note_success(self) -> None:
        if self._failure:
            self._failure = ""
            self._pump_soon()

    def _spawn(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
