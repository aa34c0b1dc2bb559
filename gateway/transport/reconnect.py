"""Keeps one connection to a server open: connects, waits for its loss, connects again.

A server that is not there yet is waited for, so the order in which things start does not matter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import structlog

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0  # events wait, or are refused, until the server is found again

log = structlog.get_logger()


class Connectable(Protocol):
    """An open connection."""

    lost: asyncio.Future[None]
    """Done when the connection is no longer usable, with the cause as its exception if there is one."""

    async def close(self) -> None:
        """End it in good order."""


C = TypeVar("C", bound=Connectable)


class ReconnectingConnection(Generic[C]):
    """At most one open connection, made by ``connect`` and made again whenever it is lost.

    Attributes:
        current: the open connection, None while there is none.
        trouble: why there is none, for people; empty while there is one.
    """

    def __init__(self, name: str, connect: Callable[[], Awaitable[C]]) -> None:
        self.current: C | None = None
        self.unavailable_reason = "not connected yet"
        self.was_connected = False
        self._name = name
        self._connect = connect
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[C | None] | None = None

    async def start(self) -> None:
        """Begin to connect, without waiting for it."""
        self._task = asyncio.create_task(self._keep_connected(), name=f"link to {self._name}")

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
        """The open connection, for one who found the last one lost: that of the next attempt to connect.

        Raises:
            ConnectionError: the attempt failed.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        connection = await asyncio.shield(self._next)
        if connection is None:
            raise ConnectionError(self.unavailable_reason)
        return connection

    async def _keep_connected(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                self.current = await self._connect()
            except OSError as error:
                self._note(str(error) or type(error).__name__)
                self._announce(None)
            except (
                Exception
            ) as error:  # a link that ended would leave the gateway without its server for ever
                log.exception("cannot connect", server=self._name)
                self._note(f"cannot connect: {error!r}")
                self._announce(None)
            else:
                pause = _FIRST_PAUSE
                self.was_connected, self.unavailable_reason = True, ""
                log.info("connected", server=self._name)
                self._announce(self.current)
                await self._wait_until_lost(self.current)
            # Jitter, so that a fleet of gateways does not come back as one wave.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _wait_until_lost(self, connection: C) -> None:
        try:
            await asyncio.shield(connection.lost)
            self._note("connection closed")
        except OSError as error:
            self._note(str(error) or type(error).__name__)
        finally:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                self.current = None

    def _announce(self, connection: C | None) -> None:
        if self._next:
            self._next.set_result(connection)
            self._next = None

    def _note(self, cause: str) -> None:
        if cause != self.unavailable_reason:  # said once, not at every attempt
            log.warning("not connected", server=self._name, cause=cause)
        self.unavailable_reason = cause
