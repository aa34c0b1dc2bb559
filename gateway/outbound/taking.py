"""Take events from a queue: read them, accept them in batches, and only then acknowledge them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress

import structlog

from gateway.outbound.accept import BATCH_SIZE, Acceptor, Incoming
from gateway.outbound.cloudevent import NotAnEvent, read_agent_event, read_event
from gateway.outbound.intake import Arrival, Intake
from gateway.outbound.store import StoreUnavailable

_RETRY_DELAY = 1.0
"""Seconds before a broker or a database that is away is asked again."""

Read = Callable[[Arrival], Incoming]
"""Reads what arrived; raises :class:`gateway.outbound.cloudevent.NotAnEvent`."""

log = structlog.get_logger()


def read_own(arrival: Arrival) -> Incoming:
    """Read an event that the gateway has published. One that no endpoint wants any more is not kept.

    Raises:
        NotAnEvent: It is none.
    """
    return Incoming(read_event(arrival.body), arrival.routing_key, arrival.body, keeps_unwanted=False)


def read_emitted(arrival: Arrival) -> Incoming:
    """Read an event that an agent has emitted.

    Raises:
        NotAnEvent: It is none.
    """
    event, body = read_agent_event(arrival.body)
    return Incoming(event, arrival.routing_key, body)


class Taker:
    """Takes the events of one queue, for ever.

    Args:
        name: The name of the exchange, for the log.
        open_intake: Opens the queue.
        read: Reads what arrives.
        acceptor: Accepts it.
        patterns: Returns the patterns that the queue is bound with now.
    """

    def __init__(
        self,
        name: str,
        open_intake: Callable[[], AbstractAsyncContextManager[Intake]],
        read: Read,
        acceptor: Acceptor,
        patterns: Callable[[], Collection[str]],
    ) -> None:
        self._name = name
        self._open_intake = open_intake
        self._read = read
        self._acceptor = acceptor
        self._patterns = patterns
        self._has_changed = asyncio.Event()
        self._is_bound = asyncio.Event()
        self._failure = ""

    def rebind(self) -> None:
        """Bind the queue with the patterns as they are now."""
        self._is_bound.clear()
        self._has_changed.set()

    async def bound(self, timeout: float) -> None:
        """Wait until the queue is bound with the patterns as they were at the last :meth:`rebind`, or for ``timeout`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._is_bound.wait()

    async def run(self) -> None:
        """Take events until this is cancelled. A broker that is away is waited for."""
        while True:
            try:
                async with self._open_intake() as intake, asyncio.TaskGroup() as group:
                    self._has_changed.set()
                    group.create_task(self._keep_bound(intake))
                    group.create_task(self._take(intake))
            except* OSError as errors:
                cause = str(errors.exceptions[0])
                if cause != self._failure:  # logged once, not at every attempt
                    log.warning("cannot take events", exchange=self._name, cause=cause)
                self._failure = cause
            except* Exception:
                log.exception("cannot take events", exchange=self._name)
            await asyncio.sleep(_RETRY_DELAY)

    async def _keep_bound(self, intake: Intake) -> None:
        bound: frozenset[str] | None = None
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            patterns = frozenset(self._patterns())
            if patterns != bound:
                await intake.bind(patterns)
                log.info("taking events", exchange=self._name, patterns=len(patterns))
                self._failure = ""
                bound = patterns
            if not self._has_changed.is_set():
                self._is_bound.set()

    async def _take(self, intake: Intake) -> None:
        while True:
            arrivals = await intake.receive(BATCH_SIZE)
            incoming: list[Incoming] = []
            for arrival in arrivals:
                try:
                    incoming.append(self._read(arrival))
                except NotAnEvent as error:
                    log.warning("event quarantined", exchange=self._name, violations=str(error))
                    await intake.quarantine(arrival, str(error)[:255])
            await self._accept(incoming)
            await intake.acknowledge(arrivals)

    async def _accept(self, incoming: Sequence[Incoming]) -> None:
        """Accept events, however long the database is away: until then none of them is acknowledged."""
        has_failed = False
        while incoming:
            try:
                await self._acceptor.accept(incoming)
            except StoreUnavailable as error:
                if not has_failed:
                    log.warning("events wait for the database", exchange=self._name, cause=str(error))
                has_failed = True
                await asyncio.sleep(_RETRY_DELAY)
            else:
                return
