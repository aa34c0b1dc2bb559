"""What a server cannot do is found out at the start, and named: one stand-in for each capability that is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import hiredis
import pytest
from structlog.testing import capture_logs

from gateway.claims.redis import RedisClaims
from gateway.claims.redis_servers import OneServer
from gateway.worker.store.redis import RedisStore
from support.waiting import PATIENCE, wait_until_async

Command = list[bytes]


@asynccontextmanager
async def standing_in(refuse: Callable[[Command], str], *, takes_batches: bool = True) -> AsyncIterator[str]:
    """Serve a Redis that refuses commands with the words that ``refuse`` returns for them; yield its address.

    Without ``takes_batches`` it answers the first command of what it reads at once, and drops the rest.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65_536):
            parser.feed(data)
            replies = []
            while (command := parser.gets()) is not False:
                words = refuse(command)
                plain = b"$-1\r\n" if command[0] in (b"GET", b"SET", b"EVAL") else b"+OK\r\n"
                replies.append(f"-{words}\r\n".encode() if words else plain)
            writer.write(b"".join(replies if takes_batches else replies[:1]))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://user:secret-word@127.0.0.1:{server.sockets[0].getsockname()[1]}/3"
    finally:
        server.close()


async def refusal_of(claims: RedisClaims) -> str:
    """Return why a store cannot be used once it was tried; empty if it can."""
    await claims.start()
    try:
        await wait_until_async(lambda: claims.has_been_tried, PATIENCE, "it was tried")
        return claims.unavailable_reason
    finally:
        await claims.stop()


def unknown(name: bytes) -> Callable[[Command], str]:
    """Refuse a command as a server that does not have it."""
    return lambda command: (
        f"ERR unknown command '{name.decode()}', with args beginning with: 'secret-word'"
        if command[0] == name
        else ""
    )


@pytest.mark.parametrize(
    ("refuse", "expected"),
    [
        (
            lambda command: "ERR syntax error" if b"GET" in command[1:] else "",
            "does not take SET with NX and GET together; use Redis 7 or newer, or Valkey",
        ),
        (unknown(b"SET"), "the server has no SET"),
        (unknown(b"GET"), "the server has no GET"),
        (unknown(b"DEL"), "the server has no DEL"),
        (
            lambda command: (
                "ERR AUTH <password> called without any password configured for the default user"
                if command[0] == b"AUTH"
                else ""
            ),
            "the server has no password; leave it out of the address",
        ),
        (
            lambda command: "ERR SELECT is not allowed in cluster mode" if command[0] == b"SELECT" else "",
            "the server has no databases; leave out the number",
        ),
        (
            lambda command: "ERR DB index is out of range" if command[0] == b"SELECT" else "",
            "has no database of that number",
        ),
    ],
    ids=["SET NX GET", "SET", "GET", "DEL", "AUTH", "SELECT", "database"],
)
async def test_a_server_that_cannot_keep_claims_is_named(
    refuse: Callable[[Command], str], expected: str
) -> None:
    """With what to do, in one line, and without the password."""
    async with standing_in(refuse) as url:
        reason = await refusal_of(RedisClaims(OneServer(url), timeout=5.0))

    assert expected in reason
    assert "\n" not in reason
    assert "secret-word" not in reason


async def test_a_server_without_pipelines_is_named() -> None:
    """Some proxies answer the first of several commands alone."""
    async with standing_in(lambda _: "", takes_batches=False) as url:
        reason = await refusal_of(RedisClaims(OneServer(url), timeout=0.25))

    assert (
        "commands that were sent together; claims need a server, and no proxy before it, that takes" in reason
    )


@pytest.mark.parametrize(
    ("refuse", "expected"),
    [
        (unknown(b"EVAL"), "the server has no EVAL"),
        (
            lambda command: (
                "ERR This Redis command is not allowed from script"
                if command[0] == b"EVAL" and b"TIME" in command[1]
                else ""
            ),
            "not allowed from script",
        ),
    ],
    ids=["EVAL", "TIME"],
)
async def test_a_server_without_scripts_keeps_claims_and_no_order(
    refuse: Callable[[Command], str], expected: str
) -> None:
    """Claims do without them; a worker with an order or a limit says what it misses."""
    async with standing_in(refuse) as url:
        with capture_logs():
            assert await refusal_of(RedisClaims(OneServer(url), timeout=5.0)) == ""
        reason = await refusal_of(RedisStore(OneServer(url), timeout=5.0, needs_scripts=True))

    assert "order and limits need EVAL and TIME" in reason
    assert expected in reason


async def test_a_server_that_can_do_everything_is_used() -> None:
    """Else the tests above would prove nothing."""
    async with standing_in(lambda _: "") as url:
        assert await refusal_of(RedisStore(OneServer(url), timeout=5.0, needs_scripts=True)) == ""
