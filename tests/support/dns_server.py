"""A name server on loopback that knows what a test tells it, over UDP and TCP."""

from __future__ import annotations

import socketserver
import struct
import threading
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

_TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}
_NAMES = {number: name for name, number in _TYPES.items()}
_MAX_UDP = 512
_TRUNCATED, _SERVER_FAILURE, _NO_SUCH_NAME = 0x0200, 2, 3
_RESPONSE = 0x8580  # an authoritative response; recursion is desired and available


@dataclass(frozen=True)
class Record:
    """A record: of type `A`, `AAAA` or `CNAME`.

    Attributes:
        type: the type.
        value: the address or name.
        ttl: how long it may be kept, in seconds.
    """

    type: str
    value: str
    ttl: int = 300


class DnsServer:
    """Listens within a ``with`` block.

    Attributes:
        zone: the records of each name; whatever is not in it does not exist.
        later: the records of a name from its second lookup on, per type.
        silent: names about which it says nothing.
        broken: names and types that fail.
        queries: the names and types that were asked for.
    """

    def __init__(self) -> None:
        self.zone: dict[str, list[Record]] = {}
        self.later: dict[str, list[Record]] = {}
        self.silent: set[str] = set()
        self.broken: set[tuple[str, str]] = set()
        self.queries: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._tcp = _Tcp(("127.0.0.1", 0), _TcpHandler)
        self._tcp.owner = self
        self.port = self._tcp.server_address[1]
        self._udp = _Udp(("127.0.0.1", self.port), _UdpHandler)
        self._udp.owner = self
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            for server in (self._tcp, self._udp)
        ]

    @property
    def address(self) -> str:
        """Where it is, as resolvers are told."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server, thread in zip((self._tcp, self._udp), self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()

    def count(self, name: str, kind: str = "A") -> int:
        """Return how often a name was asked for."""
        return self.queries.count((name, kind))

    def respond(self, query: bytes, limit: int) -> bytes | None:
        """Return the response to a query, cut to a size; None for no response."""
        number, _, questions = struct.unpack_from("!HHH", query)
        assert questions == 1
        name, end = _read_name(query, 12)
        kind = _NAMES.get(struct.unpack_from("!H", query, end)[0], "")
        question = query[12 : end + 4]
        with self._lock:
            is_later = (name, kind) in self.queries and name in self.later
            self.queries.append((name, kind))
        if name in self.silent:
            return None
        records = (self.later if is_later else self.zone).get(name)
        code = _NO_SUCH_NAME if records is None else _SERVER_FAILURE * ((name, kind) in self.broken)
        found = [] if code or records is None else self._answers(name, kind, records)
        body = question + b"".join(found)
        flags = _RESPONSE | code
        if len(body) + 12 > limit:
            flags, body, found = flags | _TRUNCATED, question, []
        return struct.pack("!HHHHHH", number, flags, 1, len(found), 0, 0) + body

    def _answers(self, name: str, kind: str, records: list[Record]) -> list[bytes]:
        found = []
        for record in records:
            if record.type == "CNAME":
                found.append(_write(name, record))
                found += self._answers(record.value, kind, self.zone.get(record.value, []))
            elif record.type == kind:
                found.append(_write(name, record))
        return found


def _read_name(message: bytes, offset: int) -> tuple[str, int]:
    labels = []
    while size := message[offset]:
        labels.append(message[offset + 1 : offset + 1 + size].decode("latin-1"))
        offset += 1 + size
    return ".".join(labels).lower(), offset + 1


def _write_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _write(name: str, record: Record) -> bytes:
    data = _write_name(record.value) if record.type == "CNAME" else ip_address(record.value).packed
    return _write_name(name) + struct.pack("!HHIH", _TYPES[record.type], 1, record.ttl, len(data)) + data


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    owner: DnsServer


class _Udp(socketserver.UDPServer):
    owner: DnsServer


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        query, sock = self.request
        assert isinstance(self.server, _Udp)
        if (response := self.server.owner.respond(query, _MAX_UDP)) is not None:
            sock.sendto(response, self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Tcp)
        while prefix := self.rfile.read(2):
            query = self.rfile.read(struct.unpack("!H", prefix)[0])
            if (response := self.server.owner.respond(query, 65535)) is not None:
                self.wfile.write(struct.pack("!H", len(response)) + response)
