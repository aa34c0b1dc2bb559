"""Accept events: find the endpoints that want one, and keep it with a delivery for each of them.

What arrives within :data:`BATCH_DELAY` is written in one transaction. Nothing is lost after :meth:`Acceptor.accept` has
returned: until then an event is not acknowledged, and not answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson

from gateway.outbound.cloudevent import ReadEvent
from gateway.outbound.directory import Directory
from gateway.outbound.fullness import Fullness
from gateway.outbound.ids import Ids, message_id
from gateway.outbound.matching import order_key
from gateway.outbound.models import Delivery, DeliveryState, OutboundMessage
from gateway.outbound.store import Store

BATCH_DELAY = 0.005
"""Seconds that an event waits for others."""

BATCH_SIZE = 100
"""Events that are written in one transaction at most."""

MAX_ORDER_KEY = 200
"""Characters of an order key that count."""


class Incoming(NamedTuple):
    """An event that is to be accepted.

    Attributes:
        event: What was read of it.
        key: Its routing key.
        body: Its bytes, which are delivered.
        keeps_unwanted: Whether it is kept even if no endpoint wants it, so that its sender can look it up.
        without: The id of an endpoint that does not get it, since it is about that endpoint; empty for none.
    """

    event: ReadEvent
    key: str
    body: bytes
    keeps_unwanted: bool = True
    without: str = ""


class Accepted(NamedTuple):
    """What has become of an event.

    Attributes:
        message: The id of its message.
        is_new: Whether it was not there before.
        deliveries: Its deliveries; none if it was there before.
    """

    message: str
    is_new: bool
    deliveries: Sequence[Delivery]


Entry = tuple[OutboundMessage, Sequence[Delivery]]


class Acceptor:
    """Accepts events in one process.

    Args:
        store: Keeps them.
        directory: Knows the endpoints.
        clock: Returns Unix seconds, as the database's clock has them.
        on_accepted: Called with what was written and is new, for an owner in the same process.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        clock: Callable[[], float],
        on_accepted: Callable[[Sequence[Entry]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._on_accepted = on_accepted
        self._ids = Ids()
        self.fullness = Fullness(store, directory)
        self._waiting: list[tuple[Entry, asyncio.Future[bool]]] = []
        self._has_room = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def accept(self, events: Sequence[Incoming]) -> list[Accepted]:
        """Keep events with their deliveries; return once they are durable.

        Raises:
            StoreUnavailable: They are not, and have to be accepted again.
        """
        now = self._clock()
        entries = [self._entry_of(each, now) for each in events]
        loop = asyncio.get_running_loop()
        written: list[asyncio.Future[bool] | None] = []
        for incoming, entry in zip(events, entries, strict=True):
            if entry[1] or incoming.keeps_unwanted:
                future = loop.create_future()
                self._waiting.append((entry, future))
                written.append(future)
            else:
                written.append(None)
        if self._waiting and self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="accepting events")
        if len(self._waiting) >= BATCH_SIZE:
            self._has_room.set()
        waited = [each for each in written if each is not None]
        results = dict(zip(waited, await _all(waited), strict=True))
        return [
            Accepted(message.id, is_new, deliveries if is_new else ())
            for (message, deliveries), future in zip(entries, written, strict=True)
            for is_new in (future is None or results[future],)
        ]

    def _entry_of(self, incoming: Incoming, now: float) -> Entry:
        event, key, body = incoming.event, incoming.key, incoming.body
        message = OutboundMessage(
            id=message_id(event.tenant, event.source, event.id),
            tenant=event.tenant,
            key=key,
            event_id=event.id,
            source=event.source,
            type=event.type,
            provider=event.provider,
            subject=event.subject or "",
            sequence=event.sequence or "",
            traceparent=event.traceparent or "",
            accepted_at=now,
            body=body,
        )

        @cache
        def parsed() -> Any:
            return orjson.loads(body)

        deliveries = [
            Delivery(
                id=self._ids.new("dlv", now),
                endpoint=endpoint.id,
                message=message.id,
                state=DeliveryState.HELD if self._is_held(endpoint.id) else DeliveryState.PENDING,
                due_at=now,
                order_key=order_key(endpoint.order, message.subject, parsed)[:MAX_ORDER_KEY],
                created_at=now,
            )
            for endpoint in self._directory.wanting(key, event.tenant, parsed)
            if endpoint.id != incoming.without
        ]
        return message, deliveries

    def _is_held(self, endpoint: str) -> bool:
        return self._directory.holds(endpoint) or self.fullness.is_full(endpoint)

    async def _write(self) -> None:
        """Write what waits, one batch after another, until nothing does."""
        try:
            while self._waiting:
                self._has_room.clear()
                if len(self._waiting) < BATCH_SIZE:
                    await _wait(self._has_room, BATCH_DELAY)
                batch, self._waiting = self._waiting[:BATCH_SIZE], self._waiting[BATCH_SIZE:]
                await self._write_batch(batch)
        finally:
            self._writing = None

    async def _write_batch(self, batch: list[tuple[Entry, asyncio.Future[bool]]]) -> None:
        entries = [entry for entry, _ in batch]
        try:
            are_new = await self._store.accept(entries)
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else ConnectionError("ended"))
                    future.exception()  # marks it as retrieved: whoever waited may have been cancelled
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), is_new in zip(batch, are_new, strict=True):
            if not future.done():
                future.set_result(is_new)
        new = [entry for entry, is_new in zip(entries, are_new, strict=True) if is_new]
        self.fullness.note(new)
        self._on_accepted(new)


async def _all(futures: Sequence[asyncio.Future[bool]]) -> list[bool]:
    return list(await asyncio.gather(*futures))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
