"""Receivers of outbound requests, good and bad: each is a raw socket that answers what a test tells it to.

A receiver runs on an event loop of its own in a thread of its own, so that tests which block, tests on a virtual clock, and
other processes can send to it. A thousand connections that hang cost it a thousand small tasks.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self

from support.waiting import PATIENCE, wait_until

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST
_PIECE = b"x" * 65536
_DRIP_INTERVAL = 0.02


@dataclass(frozen=True)
class Received:
    """A request that came.

    Attributes:
        connection: the number of its connection, from 1.
        method: its method.
        target: path and query as they were sent.
        fields: the header fields in their order, with names as they were sent.
        body: its body.
    """

    connection: int
    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The header fields by their lower-case names; each stands once."""
        assert len({name.lower() for name, _ in self.fields}) == len(self.fields)
        return {name.lower(): value for name, value in self.fields}


@dataclass
class Conversation:
    """One connection of a client.

    Attributes:
        number: its number, from 1.
        sent: the bytes that were written to it.
        requests: how many requests came on it.
    """

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: int = 0
    requests: int = 0

    async def send(self, data: bytes) -> None:
        """Write to the client, and wait until its side takes it."""
        self.writer.write(data)
        await self.writer.drain()
        self.sent += len(data)

    def reset(self) -> None:
        """End the connection by RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client ends the connection."""
        while await self.reader.read(65536):
            pass


Act = Callable[[Conversation], Awaitable[None]]


@dataclass(frozen=True)
class Behaviour:
    """How a receiver treats a request.

    Attributes:
        name: what it is called in the names of tests.
        act: does it; afterwards the connection is closed unless it is kept.
        reads: whether the request is read first. If not, it acts as soon as there is a connection.
        keeps: whether the connection stays open for the next request.
    """

    name: str
    act: Act
    reads: bool = True
    keeps: bool = False


class Receiver:
    """Listens on loopback within a ``with`` block.

    Args:
        behaviours: how the first requests are treated, one after another; the last one goes for all that follow.
        tls: makes it an HTTPS server.

    Attributes:
        requests: the requests that came, in their order.
        conversations: the connections that came, in their order.
        port: where it listens.
    """

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._script = list(behaviours) or [respond(200)]
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.requests: list[Received] = []
        self.conversations: list[Conversation] = []
        self.open_connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        """The address of a hook on it."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook?token=t%2F1"

    def behave(self, *behaviours: Behaviour) -> None:
        """Treat the next requests like this."""
        self._script = list(behaviours)

    def wait_for(self, number: int) -> list[Received]:
        """Wait until so many requests came, and return all."""
        wait_until(
            lambda: len(self.requests) >= number, message=f"{number} requests came, not {len(self.requests)}"
        )
        return self.requests

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _run(self) -> None:
        self._loop.set_exception_handler(lambda _loop, _context: None)  # clients end connections as they like
        self._loop.run_forever()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server
        self._server.close()
        for _ in range(5):  # a connection that was just taken becomes a conversation
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for conversation in self.conversations:
            with suppress(
                AttributeError
            ):  # asyncio before 3.11.4 cannot abort a TLS connection that has ended
                conversation.writer.transport.abort()
        closed = [conversation.writer.wait_closed() for conversation in self.conversations]
        await asyncio.gather(*closed, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(len(self.conversations) + 1, reader, writer)
        self.conversations.append(conversation)
        task = self._loop.create_task(self._serve(conversation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _next(self) -> Behaviour:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    async def _serve(self, conversation: Conversation) -> None:
        self.open_connections += 1
        try:
            keeps = True
            while keeps:
                behaviour = None
                if not self._script[0].reads:
                    behaviour = self._next()
                else:
                    self.requests.append(await _read_request(conversation))
                    behaviour = self._next()
                await behaviour.act(conversation)
                keeps = behaviour.keeps
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self.open_connections -= 1
            with suppress(OSError, RuntimeError):
                conversation.writer.close()


async def _read_request(conversation: Conversation) -> Received:
    head = (await conversation.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    conversation.requests += 1
    line, *lines = head[:-4].split("\r\n")
    method, target, _ = line.split(" ")
    fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((value for name, value in fields if name.lower() == "content-length"), "0")
    body = await conversation.reader.readexactly(int(length))
    return Received(conversation.number, method, target, fields, body)


def head_of(status: int, fields: dict[str, str]) -> bytes:
    """Return the head of a response."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def respond(
    status: int, body: bytes = b"", *, fields: dict[str, str] | None = None, keeps: bool = True
) -> Behaviour:
    """Answer with a status, header fields and a body, and keep the connection."""
    own = {} if status in {204, 304} else {"Content-Length": str(len(body))}
    if not keeps:
        own["Connection"] = "close"
    answer = head_of(status, own | (fields or {})) + body
    return Behaviour(f"respond-{status}", lambda conversation: conversation.send(answer), keeps=keeps)


def redirect(status: int, location: str) -> Behaviour:
    """Answer with a redirect."""
    return respond(status, fields={"Location": location})


def say(name: str, answer: bytes, *, keeps: bool = False) -> Behaviour:
    """Answer with these bytes."""
    return Behaviour(name, lambda conversation: conversation.send(answer), keeps=keeps)


def _behaviour(*, reads: bool = True, keeps: bool = False) -> Callable[[Act], Behaviour]:
    def make(act: Act) -> Behaviour:
        return Behaviour(getattr(act, "__name__", ""), act, reads, keeps)

    return make


@_behaviour()
async def hang(conversation: Conversation) -> None:
    """Read the request, and never answer."""
    await conversation.gone()


@_behaviour(reads=False)
async def hang_at_once(conversation: Conversation) -> None:
    """Accept the connection, and never say anything: a TLS handshake hangs."""
    await conversation.gone()


@_behaviour(reads=False)
async def say_at_once(conversation: Conversation) -> None:
    """Answer the first bytes in plain HTTP, whatever they are."""
    await conversation.reader.read(1)
    await conversation.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@_behaviour(reads=False)
async def reset_at_once(conversation: Conversation) -> None:
    """Reset the connection as soon as it is there."""
    conversation.reset()


@_behaviour(reads=False)
async def reset_on_first_bytes(conversation: Conversation) -> None:
    """Reset the connection in the middle of what the client sends: of a handshake, or of a request."""
    await conversation.reader.read(1)
    conversation.reset()


@_behaviour()
async def reset_on_request(conversation: Conversation) -> None:
    """Reset the connection when the request is there."""
    conversation.reset()


@_behaviour()
async def close_on_request(conversation: Conversation) -> None:
    """Close the connection when the request is there, without a byte of an answer."""


@_behaviour()
async def reset_in_head(conversation: Conversation) -> None:
    """Reset the connection in the middle of the head."""
    await conversation.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    await asyncio.sleep(_DRIP_INTERVAL)  # so that the bytes arrive before the reset
    conversation.reset()


half_head = say("half_head", b"HTTP/1.1 200 OK\r\nContent-Le")
"""Close the connection in the middle of the head."""


def reset_in_body(status: int) -> Behaviour:
    """Reset the connection in the middle of the body."""

    async def act(conversation: Conversation) -> None:
        await conversation.send(head_of(status, {"Content-Length": "100"}) + b"half a b")
        await asyncio.sleep(_DRIP_INTERVAL)
        conversation.reset()

    return Behaviour(f"reset_in_body-{status}", act)


@_behaviour()
async def drip_head(conversation: Conversation) -> None:
    """Send a head byte by byte, and never its end."""
    await conversation.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await conversation.send(b"x")
        await asyncio.sleep(_DRIP_INTERVAL)


def drip_body(status: int) -> Behaviour:
    """Send a whole head, and then a body byte by byte without an end."""

    async def act(conversation: Conversation) -> None:
        await conversation.send(head_of(status, {"Content-Length": "1000000"}))
        while True:
            await conversation.send(b"x")
            await asyncio.sleep(_DRIP_INTERVAL)

    return Behaviour(f"drip_body-{status}", act)


def flood(status: int, size: int = 1024**3) -> Behaviour:
    """Send a body of a gigabyte, as fast as it is read."""

    async def act(conversation: Conversation) -> None:
        await conversation.send(head_of(status, {"Content-Length": str(size)}))
        for _ in range(size // len(_PIECE)):
            await conversation.send(_PIECE)

    return Behaviour(f"flood-{status}", act)


@_behaviour()
async def large_head(conversation: Conversation) -> None:
    """Send a head of a megabyte in many fields."""
    await conversation.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(1024):
        await conversation.send(b"X-%d: %b\r\n" % (number, b"x" * 1010))
    await conversation.send(b"Content-Length: 0\r\n\r\n")


@_behaviour()
async def large_field(conversation: Conversation) -> None:
    """Send a head with one field of a megabyte."""
    await conversation.send(b"HTTP/1.1 200 OK\r\nX-Large: ")
    for _ in range(16):
        await conversation.send(_PIECE)
    await conversation.send(b"\r\nContent-Length: 0\r\n\r\n")


@_behaviour()
async def large_reason(conversation: Conversation) -> None:
    """Send a status line that does not end."""
    await conversation.send(b"HTTP/1.1 200 ")
    for _ in range(16):
        await conversation.send(_PIECE)


@_behaviour()
async def continue_forever(conversation: Conversation) -> None:
    """Send `100 Continue` without an end."""
    while True:
        await conversation.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@_behaviour()
async def continue_slowly(conversation: Conversation) -> None:
    """Send `100 Continue` now and then, and no response."""
    while True:
        await conversation.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(_DRIP_INTERVAL)


def respond_gzip(status: int, text: bytes) -> Behaviour:
    """Answer compressed though nobody asked for it."""
    body = gzip.compress(text)
    return respond(status, body, fields={"Content-Encoding": "gzip"})


http_0_9 = say("http_0_9", b"<html>hello</html>\r\n")
"""Answer as HTTP/0.9 did, without a head."""

http_1_0 = say("http_1_0", b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
"""Answer as HTTP/1.0 does, with a body that ends with the connection."""

close_after_head = say("close_after_head", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
"""Promise a body, and close the connection."""

switch_protocols = say(
    "switch_protocols", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
)
"""Take up a protocol that nobody offered."""

respond_and_close = say("respond_and_close", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
"""Answer as if the connection were kept, and close it."""

answer_twice = say("answer_twice", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * 2, keeps=True)
"""Answer a request that was not sent yet, too."""


@dataclass
class _Backlog:
    sockets: list[socket.socket] = field(default_factory=list)


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose listener takes no more connections, so that a connection attempt gets no answer at all."""
    backlog = _Backlog()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    try:
        for _ in range(8):  # more than the kernel rounds up to
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            backlog.sockets.append(client)
        yield port
    finally:
        for client in backlog.sockets:
            client.close()
        listener.close()
