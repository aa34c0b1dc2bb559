"""A network that fails on demand: a TCP proxy with switches, in front of Redis or RabbitMQ.

It runs on an event loop of its own in a thread of its own, so that tests which block, tests which await, and
processes can all be behind it. Each switch is a plain method that returns once it is in effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from support.ports import free_port
from support.waiting import PATIENCE

_PIECE = 1024 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST and forgets what was not sent


class Direction(Enum):
    """Which way bytes go; the client is the side that connected to the proxy."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


@dataclass(eq=False)
class _Link:
    """A connection of a client, and the one to the server that belongs to it."""

    client: socket.socket
    server: socket.socket
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    loses_reply: bool = False
    torn: set[Direction] = field(default_factory=set)


@dataclass
class _Faults:
    """What is switched on; nothing at first."""

    delay: dict[Direction, float] = field(default_factory=dict)
    discarded: set[Direction] = field(default_factory=set)
    left: dict[Direction, int] = field(default_factory=dict)
    lost_reply: bytes | None = None
    cut_at: bytes | None = None


class FaultProxy:
    """A proxy on a port of its own, for use as a context manager.

    Args:
        target: the port of the server on loopback, or a URL with it.

    Attributes:
        port: where it listens.
        accepted: how many connections it has taken.
    """

    def __init__(self, target: int | str) -> None:
        self.target = target if isinstance(target, int) else _port_of(target)
        self.port = free_port()
        self.accepted = 0
        self._tripped = threading.Event()
        self._faults = _Faults()
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._listener: socket.socket | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url_of(self, url: str) -> str:
        """``url`` with the proxy's port instead of its own."""
        return url.replace(f":{_port_of(url)}", f":{self.port}", 1)

    def heal(self) -> None:
        """Let everything pass, what was held included."""

        def switch() -> None:
            self._faults = _Faults()
            self._flows.set()
            if self._listener is None:
                self._listener = self._open_listener()
                self._loop.add_reader(self._listener, self._accept, self._listener)

        self._do(switch)

    def refuse(self) -> None:
        """Be gone: the listener is closed and every connection is reset."""

        async def switch() -> None:
            if self._listener is not None:
                self._loop.remove_reader(self._listener)
                self._listener.close()
                self._listener = None
            for task in self._connecting:
                task.cancel()
            await asyncio.gather(*self._connecting, return_exceptions=True)
            await self._reset_all()

        self._await(switch())

    def retarget(self, port: int) -> None:
        """Reset every connection; new ones go to another server."""
        self.target = port
        self.reset_all()

    def reset_all(self) -> None:
        """Reset every connection; new ones are taken."""
        self._await(self._reset_all())

    def stall(self) -> None:
        """Hold what comes from either side: connections are taken, and nothing is answered."""
        self._do(self._flows.clear)

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Hold each piece for ``seconds``; later ones leave with the next. Both ways by default."""
        self._do(lambda: self._faults.delay.update(dict.fromkeys(directions or Direction, seconds)))

    def discard(self, direction: Direction) -> None:
        """Drop bytes in this direction. Bytes after :meth:`heal` reset the same connection.

        TCP never delivers what follows a hole in its stream.
        """
        self._do(lambda: self._faults.discarded.add(direction))

    def cut_after(self, count: int, direction: Direction = Direction.TO_SERVER) -> None:
        """Forward ``count`` more bytes in this direction, then reset their connection, once."""
        self._arm(lambda: self._faults.left.update({direction: count}))

    def cut_at(self, marker: bytes) -> None:
        """Reset the connection on which a client next sends ``marker``, before the server gets it."""
        self._arm(lambda: setattr(self._faults, "cut_at", marker))

    def lose_reply(self, marker: bytes = b"") -> None:
        """Forward the next request with ``marker``, and reset its connection at the reply.

        So the server has done what it was asked for, and nobody has been told.
        """
        self._arm(lambda: setattr(self._faults, "lost_reply", marker))

    def wait_tripped(self, timeout: float = PATIENCE) -> None:
        """Wait until the one-time fault that was armed last has happened."""
        if not self._tripped.wait(timeout):
            raise TimeoutError(f"not within {timeout:g} s: the armed fault happened")

    def _arm(self, switch: Callable[[], None]) -> None:
        self._tripped.clear()
        self._do(switch)

    def _do(self, switch: Callable[[], None]) -> None:
        async def call() -> None:
            switch()

        self._await(call())

    def _await(self, switching: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(switching, self._loop).result(10)

    def _open_listener(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        listener.setblocking(False)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        """Take a connection. A task that waits for one would lose the one that comes when it is cancelled."""
        try:
            client, _ = listener.accept()
        except OSError:  # it is gone already
            return
        self.accepted += 1
        task = self._loop.create_task(self._link(client))
        self._connecting.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._connecting.discard(task)
            if task.cancelled():  # perhaps before it had begun
                _close_by_reset(client)
                client.close()

        task.add_done_callback(end)

    async def _link(self, client: socket.socket) -> None:
        client.setblocking(False)
        server = socket.socket()
        server.setblocking(False)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(server, ("127.0.0.1", self.target))
        except OSError:
            _close_by_reset(client)
            client.close()
            server.close()
            return
        except asyncio.CancelledError:
            server.close()
            raise
        link = _Link(client, server)
        self._links.add(link)
        link.pumps = [self._loop.create_task(self._pump(link, direction)) for direction in Direction]
        for pump in link.pumps:
            pump.add_done_callback(lambda _: self._close_if_done(link))

    async def _pump(self, link: _Link, direction: Direction) -> None:
        source, sink = link.client, link.server
        if direction is Direction.TO_CLIENT:
            source, sink = sink, source
        try:
            while data := await self._loop.sock_recv(source, _PIECE):
                await self._flows.wait()
                if delay := self._faults.delay.get(direction):
                    await asyncio.sleep(delay)
                    await self._flows.wait()
                passed, is_cut = self._judge(link, direction, data)
                await self._loop.sock_sendall(sink, passed)
                if is_cut:
                    self._tripped.set()
                    raise ConnectionResetError
            await self._flows.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            _close_by_reset(link.client, link.server)
            for pump in link.pumps:
                if pump is not asyncio.current_task():
                    pump.cancel()

    def _judge(self, link: _Link, direction: Direction, data: bytes) -> tuple[bytes, bool]:
        """What of ``data`` goes on, and whether the connection is reset after it."""
        faults = self._faults
        if direction is Direction.TO_SERVER:
            if faults.cut_at is not None and faults.cut_at in data:
                faults.cut_at = None
                return b"", True
            if faults.lost_reply is not None and faults.lost_reply in data:
                faults.lost_reply = None
                link.loses_reply = True
        elif link.loses_reply:
            return b"", True
        left = faults.left.get(direction)
        if left is not None and len(data) >= left:
            del faults.left[direction]
            return data[:left], True
        if left is not None:
            faults.left[direction] = left - len(data)
        if direction in faults.discarded:
            link.torn.add(direction)
            return b"", False
        return (b"", True) if direction in link.torn else (data, False)

    async def _reset_all(self) -> None:
        links = list(self._links)
        for link in links:
            _close_by_reset(link.client, link.server)
        pumps = [pump for link in links for pump in link.pumps]
        for pump in pumps:
            pump.cancel()
        if pumps:
            await asyncio.wait(pumps)

    def _close_if_done(self, link: _Link) -> None:
        if all(pump.done() for pump in link.pumps):
            link.client.close()
            link.server.close()
            self._links.discard(link)


def _close_by_reset(*ends: socket.socket) -> None:
    """See to it that closing them resets them."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _port_of(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"no port in {url}")
    return port
