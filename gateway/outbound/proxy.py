"""An egress proxy: every connection goes through it by `CONNECT`, that of `http://` too."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gateway.outbound.addresses import Target
from gateway.transport.address import host_and_port

_MAX_HEAD = 16 * 1024
_FORM = "has to be http://host:port or http://user:password@host:port"


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """An HTTP proxy.

    Attributes:
        host: Its name or address. The operator chose it, so it is not judged.
        port: Its port.
        authorization: The value of `Proxy-Authorization`; empty for none.
    """

    host: str
    port: int
    authorization: str = ""

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Read the address of a proxy.

        Raises:
            ValueError: It is none. The text does not quote it, since it may have a password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(_FORM) from None
        if (
            parts.scheme != "http"
            or not parts.hostname
            or not port
            or parts.path not in {"", "/"}
            or parts.query
        ):
            raise ValueError(_FORM)
        authorization = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {b64encode(pair.encode()).decode()}"
        return cls(parts.hostname, port, authorization)

    async def connect(self, loop: asyncio.AbstractEventLoop, target: Target) -> socket.socket:
        """Return a connection to ``target``, at whose other end the proxy is out of the way.

        Raises:
            OSError: The proxy cannot be reached, or refuses.
        """
        infos = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        family, kind, number, _, address = infos[0]
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, self._request(target))
            status = await _read_status(loop, sock)
            if not 200 <= status < 300:
                raise OSError(f"refuses with {status}")
        except BaseException:
            sock.close()
            raise
        return sock

    def _request(self, target: Target) -> bytes:
        place = host_and_port(target.host, target.port)
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if self.authorization:
            lines.append(f"Proxy-Authorization: {self.authorization}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read_status(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> int:
    """Read the head of a response to its end and no further; return its status."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        # The endpoint says nothing before it is spoken to, so that nothing of its own follows the head.
        piece = await loop.sock_recv(sock, 4096)
        if not piece:
            raise ConnectionError("ends the connection")
        head += piece
        if len(head) > _MAX_HEAD:
            raise ConnectionError("sends a head that is too large")
    parts = bytes(head).split(b" ", 2)
    if not head.startswith(b"HTTP/1.") or len(parts) < 2 or not parts[1].isdigit():
        raise ConnectionError("sends no HTTP response")
    return int(parts[1])
