"""The other ends of the gateway's connections: clients, Redis and RabbitMQ, without a socket.

What Redis answers is recorded in a run without valgrind, from a real Redis, and replayed in the run that is counted. So
the answers are true, and reading them from a list costs next to nothing. RabbitMQ is scripted: it accepts every
declaration and confirms every message.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, cast

import hiredis
from pamqp import base, commands, frame

_BACKLOG_LIMIT = 65_536


class ScriptedTransport(asyncio.Transport):
    """A transport whose peer answers in the next turn of the loop, or not at all.

    Args:
        protocol: The gateway's end.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 8_000)})
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take what the gateway sends."""
        if answer := self.answer(bytes(data)):
            self._loop.call_soon(self._protocol.data_received, answer)

    def writelines(self, list_of_data: Any) -> None:
        """Take several pieces."""
        self.write(b"".join(list_of_data))

    def answer(self, data: bytes) -> bytes:
        """Return the answer of the peer; nothing if there is none."""
        return b""

    def is_closing(self) -> bool:
        """Return whether the gateway has closed the connection."""
        return self._is_closing

    def close(self) -> None:
        """Close the connection."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Close the connection."""
        self.close()

    def can_write_eof(self) -> bool:
        """Return whether half of the connection can be closed."""
        return True

    def write_eof(self) -> None:
        """Ignore that the gateway sends no more."""

    def pause_reading(self) -> None:
        """Ignore it: a client sends its next request only when it has its answer."""

    def resume_reading(self) -> None:
        """Ignore it."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore the limits: every byte is taken at once."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes were not taken yet: none."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return some limits."""
        return _BACKLOG_LIMIT // 4, _BACKLOG_LIMIT


class Clients:
    """What the clients have got.

    Attributes:
        waiting: How many wait for an answer.
        statuses: The status codes of the answers so far.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.statuses: list[bytes] = []


class Client(ScriptedTransport):
    """A client with one connection.

    Args:
        protocol: The gateway's end.
        clients: All of them.
    """

    def __init__(self, protocol: asyncio.Protocol, clients: Clients) -> None:
        super().__init__(protocol)
        self._clients = clients

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take an answer, or the body of one: uvicorn writes head and body one after the other."""
        if data[:5] == b"HTTP/":
            self._clients.statuses.append(bytes(data[9:12]))
            self._clients.waiting -= 1

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._clients.waiting += 1
        self._protocol.data_received(request)


class RecordedRedis(ScriptedTransport):
    """A connection to a Redis that answers as a real one has answered the same writes before.

    Args:
        protocol: The gateway's end.
        replies: What Redis has sent after each write.
    """

    def __init__(self, protocol: asyncio.Protocol, replies: Iterator[bytes]) -> None:
        super().__init__(protocol)
        self._replies = replies

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Answer with the next replies."""
        self._loop.call_soon(self._protocol.data_received, next(self._replies))


class RecordingRedis(ScriptedTransport):
    """A connection to a real Redis that waits for the replies to each write, and notes them.

    Args:
        protocol: The gateway's end.
        port: The port of Redis on this machine.
        replies: Where the replies to each write are added.
    """

    def __init__(self, protocol: asyncio.Protocol, port: int, replies: list[bytes]) -> None:
        super().__init__(protocol)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._replies = replies

    def answer(self, data: bytes) -> bytes:
        """Send the commands, and read one reply for each."""
        commands_sent = hiredis.Reader()
        commands_sent.feed(data)
        missing = 0
        while commands_sent.gets() is not False:
            missing += 1
        self._socket.sendall(data)
        replies, received = hiredis.Reader(), b""
        while missing:
            piece = self._socket.recv(65_536)
            received += piece
            replies.feed(piece)
            while missing and replies.gets() is not False:
                missing -= 1
        self._replies.append(received)
        return received

    def close(self) -> None:
        """Close both connections."""
        self._socket.close()
        super().close()


class ScriptedBroker(ScriptedTransport):
    """A connection to a broker that accepts all declarations and confirms all messages.

    Args:
        protocol: The gateway's end.
        exchange: The exchange whose messages are confirmed.

    Attributes:
        confirmed: How many messages were confirmed.
    """

    def __init__(self, protocol: asyncio.Protocol, exchange: str) -> None:
        super().__init__(protocol)
        self._is_open = False
        self._received = b""
        self._publish = b"\x00\x3c\x00\x28\x00\x00" + bytes([len(exchange)]) + exchange.encode()
        self._ack = frame.marshal(commands.Basic.Ack(1), 1)
        self.confirmed = 0

    def answer(self, data: bytes) -> bytes:
        """Confirm all messages of a write with one frame, as a broker under load does."""
        if not self._is_open:
            return self._answer_methods(data)
        count = data.count(self._publish)
        if not count:
            return self._answer_methods(data)
        self.confirmed += count
        # The tag is at a fixed place of the frame: after its head of 7 bytes and the method's 4.
        tag = self.confirmed.to_bytes(8, "big")
        return b"%b%b%b%b" % (self._ack[:11], tag, b"\x01" if count > 1 else b"\x00", self._ack[-1:])

    def _answer_methods(self, data: bytes) -> bytes:
        if data.startswith(b"AMQP"):
            return frame.marshal(commands.Connection.Start(server_properties={}), 0)
        self._received += data
        answers = b""
        while self._received:
            size, channel, value = frame.unmarshal(self._received)
            if not size:
                break
            self._received = self._received[size:]
            if (reply := self._reply(value)) is not None:  # one without fields is false
                answers += frame.marshal(reply, channel)
        return answers

    def _reply(self, value: Any) -> base.Frame | None:
        match value:
            case commands.Connection.StartOk():
                return commands.Connection.Tune(0, 131_072, 0)
            case commands.Queue.Declare():
                return commands.Queue.DeclareOk(value.queue, 0, 0)
            case commands.Confirm.Select():
                self._is_open = True
                return commands.Confirm.SelectOk()
            case base.Frame() if value.valid_responses:
                name = value.valid_responses[0]
                return cast("base.Frame", attrgetter(name)(commands)())
        return None
