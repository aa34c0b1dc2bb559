"""A connection to a server that reconnects by itself.

A server that is not there yet is no error: the order in which programs start does not matter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import structlog

_FIRST_DELAY = 0.1
"""Seconds before the first attempt to reconnect; each further delay is twice as long."""

_MAX_DELAY = 1.0
"""The longest delay in seconds: events wait, or are refused, until the server is found again."""

log = structlog.get_logger()


class Connectable(Protocol):
    """An open connection."""

    lost: asyncio.Future[None]
    """Done when the connection is no longer usable; fails with the cause if there is one."""

    async def close(self) -> None:
        """Finish what was begun, and close the connection."""


C = TypeVar("C", bound=Connectable)


class ReconnectingConnection(Generic[C]):
    """At most one open connection, made by ``connect`` and made again whenever it is lost.

    Args:
        name: The server's name in log lines.
        connect: Opens a connection; raises OSError if that is not possible now.
        is_quiet: Whether nothing is logged: the connection serves a look that reports its errors itself.
        certificates: Returns digests of the files of TLS, as they are now; by default there are none.

    Attributes:
        current: The open connection; None if there is none.
        unavailable_reason: Why there is no connection; empty if there is one.
        has_been_connected: Whether there has been a connection since the start.
        has_been_tried: Whether an attempt to connect has ended since the start, in whatever way.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[C]],
        *,
        is_quiet: bool = False,
        certificates: Callable[[], list[bytes]] = list,
    ) -> None:
        self.current: C | None = None
        self.unavailable_reason = "not connected yet"
        self.has_been_connected = self.has_been_tried = False
        self._name = name
        self._connect = connect
        self._is_quiet = is_quiet
        self._certificates = certificates
        self._used_certificates: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[C | None] | None = None

    async def start(self) -> None:
        """Start connecting in the background."""
        self._task = asyncio.create_task(self._keep_connected(), name=f"connection to {self._name}")

    async def stop(self) -> None:
        """Close the connection and stop connecting."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self.current:
            await self.current.close()
            self.current = None

    async def reconnected(self) -> C:
        """Wait for the next attempt to connect, and return its connection.

        Raises:
            ConnectionError: The attempt failed.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        connection = await asyncio.shield(self._next)
        if connection is None:
            raise ConnectionError(self.unavailable_reason)
        return connection

    async def reload_certificates(self) -> None:
        """Replace the open connection by another one if the files of TLS have changed since it was opened.

        The other one is opened first, so that nobody has to wait. If that fails, the open connection is kept, and the
        cause is logged. Servers look at a certificate at the beginning of a connection alone.
        """
        old = self.current
        if old is None or self._certificates() == self._used_certificates:
            return
        log.info("certificates changed", server=self._name)
        try:
            connection = await self._open()
        except OSError as error:
            log.warning("connection not renewed", server=self._name, cause=str(error) or type(error).__name__)
            return
        if self.current is not old:  # it was lost meanwhile, and is replaced already, or is about to be
            await connection.close()
            return
        self.current = connection
        log.info("connected", server=self._name)
        await old.close()

    async def _open(self) -> C:
        certificates = self._certificates()
        connection = await self._connect()
        self._used_certificates = certificates
        return connection

    async def _keep_connected(self) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                self.current = await self._open()
            except OSError as error:
                self._note(str(error) or type(error).__name__)
                self._announce(None)
            except Exception as error:  # if this task ended, the gateway would never find its server again
                log.exception("cannot connect", server=self._name)
                self._note(f"cannot connect: {error!r}")
                self._announce(None)
            else:
                delay = _FIRST_DELAY
                self.has_been_connected = self.has_been_tried = True
                self.unavailable_reason = ""
                if not self._is_quiet:
                    log.info("connected", server=self._name)
                self._announce(self.current)
                await self._wait_until_lost()
            # Jitter, so that many gateways do not reconnect in one wave.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
            delay = min(delay * 2, _MAX_DELAY)

    async def _wait_until_lost(self) -> None:
        while (connection := self.current) is not None:
            cause = "connection closed"
            try:
                await asyncio.shield(connection.lost)
            except OSError as error:
                cause = str(error) or type(error).__name__
            if self.current is connection:  # else it was renewed
                self.current = None
                self._note(cause)

    def _announce(self, connection: C | None) -> None:
        if self._next:
            self._next.set_result(connection)
            self._next = None

    def _note(self, cause: str) -> None:
        if cause != self.unavailable_reason and not self._is_quiet:  # logged once, not at every attempt
            log.warning("not connected", server=self._name, cause=cause)
        self.unavailable_reason = cause
        self.has_been_tried = True
