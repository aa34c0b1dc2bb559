"""What the connections to one address share: who answers, the limits, and one timer for all deadlines."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from email.utils import formatdate
from operator import itemgetter
from typing import Any, NamedTuple

import structlog
from starlette.types import ASGIApp

from gateway.http.connection import Connection
from gateway.receive.access import network_of
from gateway.receive.receiver import Receiver

_SWEEP_EVERY = 0.1

log = structlog.get_logger()


class Limits(NamedTuple):
    """What one process holds at most.

    Attributes:
        connections: open at a time.
        in_flight: events that are being delivered at a time.
        buffered: bytes of requests in memory at a time.
        keep_alive: seconds that a connection may be idle between requests.
        connections_of_client: of them, of one address that is no trusted proxy; None for all.
    """

    connections: int
    in_flight: int
    buffered: int
    keep_alive: float
    connections_of_client: int | None = None

    @property
    def unproven(self) -> int:
        """How many requests may wait at a time for a key, before anybody can tell who sent them."""
        return max(self.in_flight // 4, 1)


class Listener:
    """What the connections to one address share. Calling it makes a connection, as uvicorn does.

    Args:
        webhooks: what becomes of webhooks; None where there are none.
        app: the ASGI application for ``app_paths``, and for everything where there are no webhooks.
        limits: what it holds at most.
        app_paths: the paths that are no webhooks.

    Attributes:
        connections: those that are open.
        in_flight: how many events are being delivered.
        unproven: how many requests wait for a key to be verified with.
        buffered: bytes of requests in memory.
        is_closing: whether the process is ending, and new requests are refused.
        date: the header field of that name, as bytes.
    """

    def __init__(
        self, webhooks: Receiver | None, app: ASGIApp, limits: Limits, app_paths: Iterable[bytes] = ()
    ) -> None:
        self.webhooks = webhooks
        self.app = app
        self.limits = limits
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.unproven = 0
        self.buffered = 0
        self.is_closing = False
        self.date = b""
        self._app_paths = frozenset(app_paths)
        self._is_sweep_due = False
        self._clients: Counter[str] = Counter()
        self._dispensable: list[tuple[tuple[int, float], Connection]] = []  # the next one to go is the last
        self._are_all_needed = False

    def __call__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:
        """A connection that uvicorn's server knows of."""
        self.connections, self.tasks = server_state.connections, server_state.tasks
        return Connection(self)

    def webhooks_at(self, path: bytes) -> Receiver | None:
        """What becomes of a request for ``path``; None for the ASGI application."""
        return None if path in self._app_paths else self.webhooks

    def count(self, peer: str) -> str:
        """Count a connection and return as whose; empty where its peer may have any number."""
        if self.limits.connections_of_client is None or self.webhooks is None or self.webhooks.is_proxy(peer):
            return ""
        client = network_of(peer)
        self._clients[client] += 1
        return client

    def has_too_many(self, client: str) -> bool:
        """Whether a client has more connections than it may."""
        most = self.limits.connections_of_client
        return bool(client) and most is not None and self._clients[client] > most

    def discount(self, client: str) -> None:
        """Count a connection no more that was counted as one of ``client``."""
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def make_room(self, now: float) -> bool:
        """Close the connection that needs to be open least; False when all have a request under way.

        They are looked through once for all that can go, not for each that comes.
        """
        if self._are_all_needed:
            return False
        if self._close_one(now):
            return True
        ranked = ((connection.rank(now), connection) for connection in self.connections)
        self._dispensable = [(rank, connection) for rank, connection in ranked if rank is not None]
        self._dispensable.sort(key=itemgetter(0), reverse=True)
        if self._dispensable:
            if self._close_one(now):
                return True
            asyncio.get_running_loop().call_soon(self._look_again)  # when what has arrived is read
        self._are_all_needed = True
        return False

    def _close_one(self, now: float) -> bool:
        while self._dispensable:
            rank, connection = self._dispensable.pop()
            if connection in self.connections and connection.rank(now) == rank and connection.give_way():
                return True
        return False

    def _look_again(self) -> None:
        self._are_all_needed = False
        self._dispensable.clear()

    def watch(self) -> None:
        """Keep the deadlines of the connections as long as there are any."""
        if not self._is_sweep_due:
            self._is_sweep_due = True
            self._sweep()

    def _sweep(self) -> None:
        # A timer for each request costs more than the reading that it guards; here one looks after all.
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.date = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()
        self._is_sweep_due = bool(self.connections)
        self._look_again()
        if self._is_sweep_due:
            loop.call_later(_SWEEP_EVERY, self._sweep)
        for connection in [connection for connection in self.connections if connection.due_at <= now]:
            try:
                connection.expire()
            except Exception:  # or those behind it would have no deadline
                log.exception("internal error")
                connection.abort()
