"""Connections that wait too long are cut, whatever they wait for; others are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.console import connections
from gateway.console.connections import MAX_HEAD, ConsoleConnection

PATIENCE = 30.0
"""Seconds within which a connection has to be cut."""

GOOD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a word; `/large` with more than a client has room for, `/slow` after a while."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    if scope["path"] == "/large":
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        scope["app_ended"].set()
    await send({"type": "http.response.body", "body": b"well"})


@asynccontextmanager
async def listening(ended: asyncio.Event | None = None) -> AsyncIterator[int]:
    """Serve on a port; ``ended`` is set when a large answer is done with."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app_ended"] = ended or asyncio.Event()
        await _app(scope, receive, send)

    config = uvicorn.Config(
        app,
        http=ConsoleConnection,
        port=0,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


@asynccontextmanager
async def connected(port: int, limit: int = 2**16) -> AsyncIterator[Streams]:
    """Connect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.close()


async def expect_cut(reader: asyncio.StreamReader) -> bytes:
    """Expect that the connection ends, and return what came before."""
    received = b""
    async with asyncio.timeout(PATIENCE):
        try:
            while chunk := await reader.read(2**16):
                received += chunk
        except ConnectionError:
            pass
    return received


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n", GOOD])
async def test_who_sends_no_head_is_cut(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Also behind an answer, where the idle time of the server would end with the first byte."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.2)
    async with listening() as port, connected(port) as (reader, writer):
        writer.write(sent)
        if sent == GOOD:
            await reader.readuntil(b"well")
            writer.write(b"GET")
        assert await expect_cut(reader) in {b"", b"\r\n0\r\n\r\n"}


async def test_an_answer_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a head then; several requests may follow each other, and be sent at once."""
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.2)
    slow = GOOD.replace(b"GET /", b"GET /slow")
    async with listening() as port, connected(port) as (reader, writer):
        writer.write(GOOD + slow + slow + GOOD)
        async with asyncio.timeout(PATIENCE):
            for _ in range(4):
                await reader.readuntil(b"well")


async def test_a_head_has_a_size() -> None:
    """However it is cut into pieces."""
    async with listening() as port, connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        cut = asyncio.create_task(expect_cut(reader))
        for number in range(2 * MAX_HEAD // 1000):
            writer.write(b"X-%d: %b\r\n" % (number, b"y" * 1000))
            await asyncio.sleep(0)
        assert await cut == b""


async def test_a_client_that_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be sent to it is dropped."""
    monkeypatch.setattr(connections, "STALL_TIMEOUT", 0.2)
    ended = asyncio.Event()
    async with listening(ended) as port, connected(port, limit=1) as (reader, writer):
        writer.write(GOOD.replace(b"GET /", b"GET /large"))
        await asyncio.wait_for(ended.wait(), PATIENCE)
        received = await expect_cut(reader)
    assert 0 < len(received) < 100_000_000


async def test_a_client_that_reads_slowly_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it reads at all."""
    monkeypatch.setattr(connections, "STALL_TIMEOUT", 5.0)
    async with listening() as port, connected(port) as (reader, writer):
        writer.write(GOOD.replace(b"GET /", b"GET /large"))
        received = 0
        async with asyncio.timeout(PATIENCE):
            while received < 100_000_000:
                received += len(await reader.read(2**20))
    assert received >= 100_000_000
