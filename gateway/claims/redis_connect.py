"""Open a connection to Redis: connect, log in, and try every command that claims need."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import hiredis

from gateway.claims import PROBE_KEY
from gateway.claims.redis_connection import RedisConnection
from gateway.claims.redis_errors import IS_CLUSTER, IS_SENTINEL, explain
from gateway.claims.resp import Value
from gateway.transport.address import explain_end, explain_unreachable
from gateway.transport.redis_url import RedisUrl
from gateway.transport.tls import explain_loss, explain_tls

_PROBED_SLOTS = 16
"""The number of keys read to recognise a cluster. With two nodes, one in 65,536 clusters has all on one node."""

_PROBE_TTL = 1000
"""Milliseconds until the key of the probe expires, should it not be deleted."""

_SCRIPT = "return redis.call('GET', KEYS[1])"
"""A script that runs wherever those of claims do."""

_SCRIPT_WITH_TIME = "return redis.call('TIME')[1]"
"""A script that runs wherever those of limits and order do, which read the server's clock."""

_MODE = re.compile(rb"cluster_enabled:1\b|(?:redis|server)_mode:(cluster|sentinel)")
"""What INFO says of a server that is part of a cluster or a Sentinel; ``server_mode`` is the word of Valkey."""
_ENDED = re.compile("reset|closed by the server")
"""The texts of errors by which a server ends a connection without a reason."""

_MIN_CONNECT_TIMEOUT = 1.0
"""Seconds to connect and log in at least, however short the timeout of a batch is."""


async def connect(
    parts: RedisUrl, timeout: float, *, needs_scripts: bool = False, in_cluster: bool = False
) -> RedisConnection:
    """Open a connection, log in, and try every command that claims need.

    So a server or a user that cannot keep claims is found now, not by the first event. What claims do not need
    may be refused.

    Args:
        parts: The address.
        timeout: Seconds that a batch may take.
        needs_scripts: Whether EVAL and TIME have to work too, which limits and order of workers use.
        in_cluster: Whether the server is one of several nodes, which has some of the keys.

    Raises:
        OSError: The server cannot be reached, or cannot keep claims; the text says why, and what to do.
    """
    async with _within(timeout, parts):
        connection = await _open(parts, timeout, in_cluster=in_cluster)
        try:
            await _try_out(connection, parts, needs_scripts=needs_scripts, in_cluster=in_cluster)
        except BaseException:  # also when cancelled by the timeout: nothing else refers to the connection
            connection.abort()
            raise
    return connection


async def ask_once(parts: RedisUrl, timeout: float, *command: Value) -> Any:
    """Send one command on a connection of its own, and return the reply.

    Raises:
        OSError: The server cannot be reached, or does not answer; the text says why, and which server.
        hiredis.ReplyError: The server refuses the command, or the login.
    """
    async with _within(timeout, parts):
        connection = await _open(parts, timeout)
        try:
            for login in _login(parts):
                await connection.execute(*login)
            return await connection.execute(*command)
        finally:
            connection.abort()


@asynccontextmanager
async def _within(timeout: float, parts: RedisUrl) -> AsyncIterator[None]:
    """Bound the time to connect, and explain why that is not possible."""
    connect_timeout = max(timeout, _MIN_CONNECT_TIMEOUT)
    try:
        async with asyncio.timeout(connect_timeout):
            yield
    except ssl.SSLError as error:
        raise ConnectionError(explain_tls(error, parts.server, parts.tls)) from None
    except TimeoutError as error:
        expected = "; does it speak TLS?" if parts.is_tls else ""
        raise TimeoutError(f"no answer from {parts.server} within {connect_timeout:g} s{expected}") from error
    except ConnectionError as error:
        if _ENDED.search(str(error)):
            raise ConnectionError(
                explain_loss(error, parts.server, parts.tls)
                if parts.is_tls
                else explain_end(error, parts.server, "rediss")
            ) from None
        raise


async def _open(parts: RedisUrl, timeout: float, *, in_cluster: bool = False) -> RedisConnection:
    loop, context = asyncio.get_running_loop(), parts.tls.context() if parts.is_tls else None
    factory = partial(RedisConnection, timeout, parts.server, parts.tls, in_cluster=in_cluster)
    try:
        if parts.path:
            return (await loop.create_unix_connection(factory, parts.path))[1]
        return (await loop.create_connection(factory, parts.host, parts.port, ssl=context))[1]
    except (ssl.SSLError, TimeoutError, ConnectionResetError):  # the caller explains these
        raise
    except OSError as error:
        raise ConnectionError(explain_unreachable(error, parts.server)) from None


async def _try_out(
    connection: RedisConnection, parts: RedisUrl, *, needs_scripts: bool, in_cluster: bool
) -> None:
    needed = _needed(parts)
    optional: list[tuple[Value, ...]] = [
        ("INFO",),
        ("EVAL", _SCRIPT_WITH_TIME if needs_scripts else _SCRIPT, 1, PROBE_KEY),
        ("CLIENT", "SETNAME", "webhook-gateway"),
    ]
    replies = await asyncio.gather(
        *(connection.execute(*command) for command in [*needed, *optional]), return_exceptions=True
    )
    late = sum(isinstance(reply, TimeoutError) for reply in replies)
    if 0 < late < len(replies):
        raise ConnectionError(
            f"{parts.server} answered {len(replies) - late} of {len(replies)} commands that were sent together; claims need "
            "a server, and no proxy before it, that takes pipelines"
        )
    info, script, _ = replies[len(needed) :]
    if not in_cluster and isinstance(info, bytes) and (mode := _MODE.search(info)):
        raise ConnectionError(IS_CLUSTER if b"cluster" in mode[0] else IS_SENTINEL)
    for command, reply in zip(needed, replies, strict=False):
        if in_cluster and str(reply).startswith("MOVED"):  # the command is right, and its key is elsewhere
            continue
        if isinstance(reply, hiredis.ReplyError):
            raise ConnectionError(explain(reply, str(command[0]))) from None
        if isinstance(reply, BaseException):
            raise reply
    if isinstance(script, hiredis.ReplyError) and not (in_cluster and str(script).startswith("MOVED")):
        connection.script_refusal = explain(script, "EVAL")
        if needs_scripts:
            raise ConnectionError(f"order and limits need EVAL and TIME: {connection.script_refusal}")


def _login(parts: RedisUrl) -> list[tuple[Value, ...]]:
    if not parts.password:
        return []
    return [("AUTH", parts.username, parts.password) if parts.username else ("AUTH", parts.password)]


def _needed(parts: RedisUrl) -> list[tuple[Value, ...]]:
    needed = _login(parts)
    if parts.database:
        needed.append(("SELECT", parts.database))
    needed.append(("SET", PROBE_KEY, b"", "NX", "PX", _PROBE_TTL, "GET"))
    # A node of a cluster refuses the keys of other nodes. These keys are spread over the slots of all nodes.
    needed += [("GET", f"{PROBE_KEY}{number}") for number in range(_PROBED_SLOTS)]
    needed.append(("DEL", PROBE_KEY))
    return needed
