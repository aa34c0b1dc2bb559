"""What the connections of one listener share: the receiver, the limits, and one timer for all deadlines."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from email.utils import formatdate
from operator import itemgetter
from typing import NamedTuple, Protocol

import structlog
from starlette.types import ASGIApp

from gateway.receive.addresses import network_of
from gateway.receive.receiver import Receiver

_SWEEP_INTERVAL = 0.1
"""Seconds between two looks at the deadlines. One timer for all costs less than one for each request."""

log = structlog.get_logger()


class Limits(NamedTuple):
    """The limits of one process.

    Attributes:
        connections: open connections.
        in_flight: events under way.
        buffered: bytes of requests in memory.
        keep_alive: seconds that a connection may be idle between two requests.
        connections_of_client: connections of one address that is no trusted proxy; None for no limit.
    """

    connections: int
    in_flight: int
    buffered: int
    keep_alive: float
    connections_of_client: int | None = None

    @property
    def unproven(self) -> int:
        """Requests that may wait for a key, before anyone knows who sent them."""
        return max(self.in_flight // 4, 1)


class OpenConnection(Protocol):
    """A connection, as the others see it."""

    due_at: float
    """When :meth:`expire` is to be called, on the event loop's clock."""

    def expire(self) -> None:
        """End what the connection is doing, since its time is over."""

    def abort(self) -> None:
        """Close the connection at once."""

    def rank(self, now: float) -> tuple[int, float] | None:
        """Return the order in which connections go when there are too many; None while a request is under way."""

    def give_way(self) -> bool:
        """Close in favour of another connection; return False if bytes have arrived that are not read yet."""


class ListenerState:
    """What the connections of one listener share.

    Args:
        receiver: receives webhooks; None if this listener has none.
        app: the ASGI application for ``app_paths``, and for everything if there is no receiver.
        limits: the limits of this process.
        app_paths: the paths that are no webhooks.

    Attributes:
        connections: the open connections.
        tasks: the tasks that handle requests.
        in_flight: events under way.
        unproven: requests that wait for a key to be verified with.
        buffered: bytes of requests in memory.
        is_closing: whether the process is ending, so that new requests are refused.
        date_line: the ``Date`` header field and the end of the head, as bytes.
    """

    def __init__(
        self, receiver: Receiver | None, app: ASGIApp, limits: Limits, app_paths: Iterable[bytes] = ()
    ) -> None:
        self.receiver = receiver
        self.app = app
        self.limits = limits
        self.connections: set[OpenConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.unproven = 0
        self.buffered = 0
        self.is_closing = False
        self.date_line = b""
        self._app_paths = frozenset(app_paths)
        self._is_sweep_due = False
        self._clients: Counter[str] = Counter()
        self._dispensable: list[
            tuple[tuple[int, float], OpenConnection]
        ] = []  # the next one to go is the last
        self._are_all_needed = False

    def receiver_at(self, path: bytes) -> Receiver | None:
        """Return the receiver for ``path``, or None if the ASGI application serves it."""
        return None if path in self._app_paths else self.receiver

    def count(self, peer: str) -> str:
        """Count a connection of ``peer``, and return the client it counts for; empty if there is no limit."""
        if self.limits.connections_of_client is None or self.receiver is None or self.receiver.is_proxy(peer):
            return ""
        client = network_of(peer)
        self._clients[client] += 1
        return client

    def has_too_many(self, client: str) -> bool:
        """Return whether a client has more connections than its limit."""
        limit = self.limits.connections_of_client
        return bool(client) and limit is not None and self._clients[client] > limit

    def discount(self, client: str) -> None:
        """Remove a closed connection from the count of ``client``."""
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def make_room(self, now: float) -> bool:
        """Close the connection that is needed least; return False if all have a request under way.

        The connections are ranked once for all that can go, not once for each that comes.
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
            asyncio.get_running_loop().call_soon(self._rank_again)  # once what has arrived is read
        self._are_all_needed = True
        return False

    def _close_one(self, now: float) -> bool:
        while self._dispensable:
            rank, connection = self._dispensable.pop()
            if connection in self.connections and connection.rank(now) == rank and connection.give_way():
                return True
        return False

    def _rank_again(self) -> None:
        self._are_all_needed = False
        self._dispensable.clear()

    def watch(self) -> None:
        """Keep the deadlines of the connections for as long as there are any."""
        if not self._is_sweep_due:
            self._is_sweep_due = True
            self._sweep()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.date_line = b"date: %b\r\n\r\n" % formatdate(time.time(), usegmt=True).encode()
        self._is_sweep_due = bool(self.connections)
        self._rank_again()
        if self._is_sweep_due:
            loop.call_later(_SWEEP_INTERVAL, self._sweep)
        for connection in [connection for connection in self.connections if connection.due_at <= now]:
            try:
                connection.expire()
            except Exception:  # the connections behind it would have no deadline otherwise
                log.exception("internal error")
                connection.abort()
