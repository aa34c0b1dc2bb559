"""What the gateway fetches itself is bounded, and comes from where it was meant to."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.transport import https as module
from gateway.transport.https import MAX_CONTENT, Fetched, FetchFailed, fetch, open_client
from support.tls import Endpoint, certify, listening

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[tuple[Endpoint, httpx.AsyncClient]]:
    """A server, and a client that trusts it."""
    server, trust = certify(tmp_path)
    async with listening(server) as there, open_client(trust) as client:
        yield there, client


async def test_an_answer_is_fetched(endpoint: tuple[Endpoint, httpx.AsyncClient]) -> None:
    """By GET, or by POST where something is to be sent."""
    there, client = endpoint

    assert await fetch(client, there.url) == Fetched(200, b"{}")
    assert await fetch(client, there.url, b'{"kid":"1"}') == Fetched(200, b"{}")

    assert [head.split(b" ")[0] for head in there.heads] == [b"GET", b"POST"]
    assert b"POST /path?x=1 HTTP/1.1" in there.heads[1]


async def test_a_redirect_is_not_followed(endpoint: tuple[Endpoint, httpx.AsyncClient]) -> None:
    """It could lead anywhere."""
    there, client = endpoint
    there.answer = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % there.url.encode()

    assert (await fetch(client, there.url)).status == 302
    assert len(there.heads) == 1


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (OK + b"Content-Length: %d\r\n\r\n" % (MAX_CONTENT + 1) + b"x" * (MAX_CONTENT + 1), "more than"),
        (OK + b"\r\n" + b"x" * (MAX_CONTENT + 1), "more than"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "compressed"),
        (OK + b"Content-Length: 5\r\n\r\nx", "does not answer"),
        (b"", "does not answer"),
        (b"no HTTP\r\n\r\n", "does not answer"),
    ],
)
async def test_an_answer_that_cannot_be_used_fails(
    endpoint: tuple[Endpoint, httpx.AsyncClient], answer: bytes, problem: str
) -> None:
    """In the one way that callers expect."""
    there, client = endpoint
    there.answer = answer

    with pytest.raises(FetchFailed, match=problem):
        await fetch(client, there.url)


async def test_as_much_as_may_be_is_taken(endpoint: tuple[Endpoint, httpx.AsyncClient]) -> None:
    """The bound itself is within it."""
    there, client = endpoint
    there.answer = OK + b"Content-Length: %d\r\n\r\n" % MAX_CONTENT + b"x" * MAX_CONTENT

    assert len((await fetch(client, there.url)).content) == MAX_CONTENT


async def test_an_answer_has_to_come_in_time(
    endpoint: tuple[Endpoint, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender waits for what depends on it."""
    there, client = endpoint
    there.answer = None
    monkeypatch.setattr(module, "TIMEOUT", 0.05)

    with pytest.raises(FetchFailed, match="TimeoutError"):
        await fetch(client, there.url)


async def test_a_server_that_nobody_vouches_for_is_not_believed(tmp_path: Path) -> None:
    """The usual authorities count, and no others."""
    server, _ = certify(tmp_path)
    async with listening(server) as there, open_client() as client:
        with pytest.raises(FetchFailed, match="ConnectError"):
            await fetch(client, there.url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "file:///etc/passwd", "", "https://", "https://[", "HTTPS://a/"]
)
async def test_what_is_no_https_is_not_fetched(url: str) -> None:
    """Nor what is no address at all."""
    async with open_client(ssl.create_default_context()) as client:
        with pytest.raises(FetchFailed):
            await fetch(client, url)
