"""What the connections to one address share: who answers, the limits, and one timer for all deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any, NamedTuple

import structlog
from starlette.types import ASGIApp

from gateway.http.connection import Connection
from gateway.webhooks import Webhooks

_SWEEP_EVERY = 0.1

log = structlog.get_logger()


class Limits(NamedTuple):
    """What one process holds at most.

    Attributes:
        connections: open at a time.
        in_flight: events that are being delivered at a time.
        buffered: bytes of bodies in memory at a time.
    """

    connections: int
    in_flight: int
    buffered: int


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
        buffered: bytes of bodies in memory.
        is_closing: whether the process is ending, and new requests are refused.
        date: the header field of that name, as bytes.
    """

    def __init__(
        self, webhooks: Webhooks | None, app: ASGIApp, limits: Limits, app_paths: Iterable[bytes] = ()
    ) -> None:
        self.webhooks = webhooks
        self.app = app
        self.limits = limits
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0
        self.buffered = 0
        self.is_closing = False
        self.date = b""
        self._app_paths = frozenset(app_paths)
        self._is_sweep_due = False

    def __call__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> Connection:
        """A connection that uvicorn's server knows of."""
        self.connections, self.tasks = server_state.connections, server_state.tasks
        return Connection(self)

    def webhooks_at(self, path: bytes) -> Webhooks | None:
        """What becomes of a request for ``path``; None for the ASGI application."""
        return None if path in self._app_paths else self.webhooks

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
        if self._is_sweep_due:
            loop.call_later(_SWEEP_EVERY, self._sweep)
        for connection in [connection for connection in self.connections if connection.due_at <= now]:
            try:
                connection.expire()
            except Exception:  # or those behind it would have no deadline
                log.exception("internal error")
                connection.abort()
