"""HTTP as bytes: requests that can be malformed in any way, and a client that sends them."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from support.waiting import PATIENCE

Address = tuple[str, int]
Text = bytes | str

_READ = 65_536


def address_of(url: str) -> Address:
    """Where ``http://host:port`` listens."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def _encode(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


@dataclass(frozen=True)
class Wire:
    """One request, which is sent without additions or checks.

    Attributes:
        line: the request line, without its end.
        fields: the header fields, framing included.
        body: what follows the head, as it is on the wire.
    """

    line: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def asking(self, line: Text) -> Self:
        """The same with another request line."""
        return replace(self, line=_encode(line))

    def to(self, path: Text) -> Self:
        """The same to another path."""
        return self.asking(b"POST " + _encode(path) + b" HTTP/1.1")

    def plus(self, name: Text, value: Text) -> Self:
        """The same with one more field at the end."""
        return replace(self, fields=(*self.fields, (_encode(name), _encode(value))))

    def without(self, name: Text) -> Self:
        """The same without a field, whatever its case."""
        wanted = _encode(name).lower()
        return replace(self, fields=tuple(field for field in self.fields if field[0].lower() != wanted))

    def but(self, name: Text, value: Text) -> Self:
        """The same with another value of a field."""
        return self.without(name).plus(name, value)

    def value(self, name: Text) -> bytes:
        """Return the value of a field that occurs once."""
        wanted = _encode(name).lower()
        (value,) = (value for name, value in self.fields if name.lower() == wanted)
        return value

    def holding(self, body: bytes) -> Self:
        """The same with another body, its length declared."""
        return replace(self.but("Content-Length", str(len(body))), body=body)

    def chunked(self, *chunks: bytes, trailer: bytes = b"") -> Self:
        """The same in chunks: in one, or in those given as they are on the wire."""
        raw = b"".join(chunks) or b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(self.body), self.body, trailer)
        return replace(self.without("Content-Length").plus("Transfer-Encoding", "chunked"), body=raw)

    @property
    def head(self) -> bytes:
        """Everything before the body."""
        return b"".join([self.line, b"\r\n", *(b"%b: %b\r\n" % field for field in self.fields), b"\r\n"])

    def __bytes__(self) -> bytes:
        return self.head + self.body


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: its code.
        fields: its header fields by lower-case name.
        body: the bytes of its body.
    """

    status: int
    fields: dict[bytes, bytes]
    body: bytes

    @property
    def word(self) -> str:
        """The outcome in the body: its reason, or the status of a success, or else the text."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return self.body.decode("latin-1")
        return str(content.get("reason", content["status"]))


@dataclass(frozen=True)
class Exchange:
    """What came of a connection.

    Attributes:
        replies: the answers in order, without interim ones.
        interim: the codes of the interim answers.
        is_closed: whether the server closed it, rather than we lost patience or had all that we wanted.
    """

    replies: list[Reply]
    interim: list[int]
    is_closed: bool

    @property
    def answer(self) -> str:
        """Status and outcome of the answers, such as ``202 accepted``; empty without an answer."""
        return ", ".join(f"{reply.status} {reply.word}" for reply in self.replies)


def read_replies(data: bytes, *, is_head: bool = False) -> tuple[list[Reply], list[int]]:
    """Return the complete answers at the start of ``data``, and the codes of interim ones."""
    replies, interim = [], []
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        version, code, _ = line.split(b" ", 2)
        if version not in {b"HTTP/1.1", b"HTTP/1.0"}:
            raise ValueError(f"not an answer: {line!r}")
        pairs = (text.partition(b":") for text in lines)
        fields = {name.lower(): value.strip() for name, _, value in pairs}
        if code.startswith(b"1"):
            interim.append(int(code))
            continue
        length = 0 if is_head else int(fields.get(b"content-length", len(data)))
        if len(data) < length:
            break
        replies.append(Reply(int(code), fields, data[:length]))
        data = data[length:]
    return replies, interim


def converse(
    address: Address,
    pieces: bytes | Iterable[bytes],
    *,
    replies: int = 1,
    until_closed: bool = False,
    half_close: bool = False,
    timeout: float = PATIENCE,
) -> Exchange:
    """Send each piece in a write of its own while listening, until all answers have come.

    Args:
        address: of the server.
        pieces: what to send; taken one by one as the server reads, so that they may be endless.
        replies: how many answers are enough.
        until_closed: whether to wait for the server's close all the same.
        half_close: whether to say, after the last piece, that no more will come.
        timeout: seconds after which we lose patience.
    """
    outgoing = iter([pieces] if isinstance(pieces, bytes) else pieces)
    pending = next(outgoing, None)
    is_head = (pending or b"").startswith(b"HEAD ")
    received, is_closed = bytearray(), False
    found: tuple[list[Reply], list[int]] = [], []
    begun_at = time.monotonic()
    with socket.create_connection(address, timeout=timeout) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        while not is_closed and (until_closed or len(found[0]) < replies):
            left = begun_at + timeout - time.monotonic()
            if left <= 0:
                break
            readable, writable, _ = select.select([connection], [connection] if pending else [], [], left)
            if readable:
                data = _receive(connection)
                is_closed = not data
                received += data
                found = read_replies(bytes(received), is_head=is_head)
            elif writable and pending:
                sent = _send(connection, pending)
                # After a reset nothing more can be sent, but what had come before it is still to be read.
                pending = None if sent is None else pending[sent:] or next(outgoing, None)
                if pending is None and half_close and sent is not None:
                    connection.shutdown(socket.SHUT_WR)
    return Exchange(*found, is_closed)


def _receive(connection: socket.socket) -> bytes:
    """What has come; nothing when the connection is over."""
    try:
        return connection.recv(_READ)
    except ConnectionResetError:
        return b""


def _send(connection: socket.socket, data: bytes) -> int | None:
    """How much was sent; None when the connection is over."""
    try:
        return connection.send(data)
    except (BrokenPipeError, ConnectionResetError):
        return None
