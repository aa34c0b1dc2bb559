"""The shortest AMQP conversation that proves a broker works: log in, declare a queue, leave.

An open port proves little. RabbitMQ greets before its virtual hosts have recovered, and a client
that comes then is thrown out. Blocking sockets, so that it can be used inside and outside of an event loop.
"""

from __future__ import annotations

import socket
from typing import TypeVar

from pamqp import commands, frame, header
from pamqp.base import Frame

_FRAME_HEADER = 7
_MAX_FRAME = 131_072

F = TypeVar("F", bound=Frame)


class NotReadyError(Exception):
    """The broker answered something else than it would when working."""


def declare_a_queue(connection: socket.socket) -> None:
    """Declare an exclusive queue on a fresh connection, which takes it away again by closing."""
    connection.sendall(header.ProtocolHeader().marshal())
    _expect(connection, commands.Connection.Start)
    _send(connection, 0, commands.Connection.StartOk(response="\0guest\0guest"))
    _expect(connection, commands.Connection.Tune)
    _send(connection, 0, commands.Connection.TuneOk(channel_max=1, frame_max=_MAX_FRAME))
    _send(connection, 0, commands.Connection.Open())
    _expect(connection, commands.Connection.OpenOk)
    _send(connection, 1, commands.Channel.Open())
    _expect(connection, commands.Channel.OpenOk)
    _send(connection, 1, commands.Queue.Declare(exclusive=True))
    _expect(connection, commands.Queue.DeclareOk)
    _send(connection, 0, commands.Connection.Close(reply_code=200, reply_text="", class_id=0, method_id=0))
    _expect(connection, commands.Connection.CloseOk)


def _send(connection: socket.socket, channel: int, method: Frame) -> None:
    connection.sendall(frame.marshal(method, channel))


def _expect(connection: socket.socket, kind: type[F]) -> F:
    head = _read(connection, _FRAME_HEADER)
    size = int.from_bytes(head[3:7], "big")
    # Before the handshake is done a broker may also answer with a protocol header: no frame, absurd size.
    if size > _MAX_FRAME:
        raise NotReadyError(f"not a frame: {head!r}")
    _, _, method = frame.unmarshal(head + _read(connection, size + 1))
    if not isinstance(method, kind):
        raise NotReadyError(f"{method!r} instead of {kind.__name__}")
    return method


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise NotReadyError("the broker closed the connection")
        data += piece
    return data
