"""An egress proxy: all connections go through it, and it decides about names and addresses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.outbound.client import Result
from gateway.outbound.connector import Limits
from gateway.outbound.outcomes import Outcome
from gateway.outbound.proxy import Proxy
from support.outbound import Authority, Names, loopback_rules, request_to, sending
from support.ports import free_port
from support.receivers import Receiver

HOST = "hooks.acme.dev"


@dataclass
class Tunnel:
    """A proxy that leads every connection to one port, or answers something else.

    Attributes:
        port: where it listens.
        heads: the heads of the requests that came.
    """

    to: int
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    silent: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        if self.answer.startswith(b"HTTP/1.1 200"):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
            self.tasks += [
                asyncio.create_task(_pump(reader, far_writer)),
                asyncio.create_task(_pump(far_reader, writer)),
            ]
        elif self.answer:
            writer.close()
        else:
            self.silent.append(writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def tunnelling(tunnel: Tunnel) -> AsyncIterator[Tunnel]:
    """Let it listen."""
    server = await asyncio.start_server(tunnel.serve, "127.0.0.1", 0)
    tunnel.port = server.sockets[0].getsockname()[1]
    try:
        yield tunnel
    finally:
        server.close()
        for writer in tunnel.silent:
            writer.close()
        for task in tunnel.tasks:
            task.cancel()
        await asyncio.gather(*tunnel.tasks, return_exceptions=True)


async def _send(proxy: str, url: str, port: int, authority: Authority | None = None) -> Result:
    trust = authority.trust() if authority else None
    names = Names()
    rules = loopback_rules(port)
    async with sending(rules, names, trust, Proxy.parse(proxy), Limits(connect=0.5)) as client:
        result = await client.send(request_to(url))
    assert not names.asked
    return result


async def test_http_and_https_go_through_the_proxy(tmp_path: Path) -> None:
    """By CONNECT, with the name, which is not looked up here; TLS is with the receiver."""
    authority = Authority(tmp_path, time.time())
    for tls in (None, authority.server(HOST)):
        with Receiver(tls=tls) as receiver:
            async with tunnelling(Tunnel(receiver.port)) as tunnel:
                url = f"{'https' if tls else 'http'}://{HOST}:8443/hook"
                result = await _send(f"http://127.0.0.1:{tunnel.port}", url, 8443, authority)

        assert result.outcome == Outcome.DELIVERED, result
        assert tunnel.heads == [b"CONNECT hooks.acme.dev:8443 HTTP/1.1\r\nHost: hooks.acme.dev:8443\r\n\r\n"]
        assert receiver.requests[0].headers["host"] == "hooks.acme.dev:8443"
        assert "proxy-authorization" not in receiver.requests[0].headers


async def test_a_password_is_for_the_proxy_alone() -> None:
    """Percent-encoded in the setting, plain in base64."""
    with Receiver() as receiver:
        async with tunnelling(Tunnel(receiver.port)) as tunnel:
            proxy = f"http://us%40er:p%3Ass@127.0.0.1:{tunnel.port}"
            result = await _send(proxy, f"http://{HOST}/", receiver.port)

    assert result.outcome == Outcome.DELIVERED
    assert b"\r\nProxy-Authorization: Basic dXNAZXI6cDpzcw==\r\n" in tunnel.heads[0]
    assert "p:ss" not in repr(Proxy.parse(proxy))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Outcome.CONNECT),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Outcome.CONNECT),
        (b"SSH-2.0\r\n\r\n", Outcome.CONNECT),
        (b"HTTP/1.1 2", Outcome.CONNECT),
        (b"x" * 20_000, Outcome.CONNECT),
        (b"", Outcome.TIMEOUT_CONNECT),
    ],
)
async def test_a_proxy_that_refuses_is_a_failure(answer: bytes, outcome: Outcome) -> None:
    """And so is one that answers something else, or nothing."""
    async with tunnelling(Tunnel(0, answer)) as tunnel:
        result = await _send(f"http://127.0.0.1:{tunnel.port}", f"http://{HOST}/", 80)

    assert result.outcome == outcome
    assert outcome == Outcome.TIMEOUT_CONNECT or result.detail.startswith("proxy: ")


async def test_a_proxy_that_is_away() -> None:
    """No connection is made around it."""
    with Receiver() as receiver:
        result = await _send(f"http://127.0.0.1:{free_port()}", receiver.url, receiver.port)

    assert result.outcome == Outcome.CONNECT
    assert not receiver.conversations


async def test_urls_are_judged_with_a_proxy_too() -> None:
    """Names and addresses are the proxy's job; what stands in the URL is not."""
    result = await _send(f"http://127.0.0.1:{free_port()}", "https://169.254.169.254/", 443)

    assert result.outcome == Outcome.ADDRESS_REFUSED


@pytest.mark.parametrize(
    "url",
    ["", "proxy:3128", "https://proxy:3128", "http://proxy", "http://:1", "http://p:99999", "http://p:1/x"],
)
def test_a_setting_that_is_no_proxy(url: str) -> None:
    """The text tells the form, and nothing of the setting."""
    with pytest.raises(ValueError, match="has to be http://host:port"):
        Proxy.parse(url)
