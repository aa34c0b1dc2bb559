"""The event loop of the gateway, uvloop's, with a clock of its own and without a network."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextvars import Context
from typing import Any

import uvloop


class Timer:
    """A call that is due later. It is compared by the time at which it is due."""

    __slots__ = ("_callback", "_context", "_due_at", "_order")

    def __init__(
        self, due_at: float, order: int, callback: Callable[[], object], context: Context | None
    ) -> None:
        self._due_at = due_at
        self._order = order
        self._callback: Callable[[], object] | None = callback
        self._context = context

    def __lt__(self, other: Timer) -> bool:
        return (self._due_at, self._order) < (other._due_at, other._order)

    def when(self) -> float:
        """Return the time at which it is due, on the loop's clock."""
        return self._due_at

    def cancel(self) -> None:
        """Do not make the call."""
        self._callback = None

    def cancelled(self) -> bool:
        """Return whether the call was made, or will never be."""
        return self._callback is None

    def fire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the call in the next turn of the loop, unless it was cancelled."""
        if self._callback is not None:
            loop.call_soon(self._callback, context=self._context)
            self._callback = None


class VirtualLoop(uvloop.Loop):
    """An event loop whose time passes only in :meth:`advance`, and whose connections lead to scripted peers.

    Attributes:
        peers: makes the transport of a new connection, by host and port.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peers: dict[tuple[str, int], Callable[[asyncio.Protocol], asyncio.Transport]] = {}
        self._now = 1_000.0
        self._timers: list[Timer] = []
        self._orders = itertools.count()

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def call_later(  # type: ignore[override]  # uvloop's own timers are no TimerHandle either
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        """Call ``callback`` once ``delay`` seconds have passed."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        """Call ``callback`` at the time ``when``."""
        timer = Timer(when, next(self._orders), (lambda: callback(*args)) if args else callback, context)
        heapq.heappush(self._timers, timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and make the calls that have become due."""
        self._now += seconds
        while self._timers and self._timers[0].when() <= self._now:
            heapq.heappop(self._timers).fire(self)

    async def create_connection(  # type: ignore[override]  # what the gateway asks for
        self, factory: Callable[[], Any], host: str, port: int, **_: Any
    ) -> Any:
        """Connect to the scripted peer of that name."""
        protocol = factory()
        transport = self.peers[host, port](protocol)
        protocol.connection_made(transport)
        return transport, protocol
