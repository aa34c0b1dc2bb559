"""One Redis connection, on which commands of many requests travel in batches.

Goal: a claim costs little CPU, and no command is ever sent twice.

Plan: commands that arrive while a batch is under way leave together in the next write, so batches grow with the load.
Replies come in the order of commands; a batch without all replies in time ends the connection, because a late reply
would be taken for that of another command. hiredis encodes and decodes.

Measured (2026-11): at ten commands at a time redis-py takes three times the CPU in a pipeline, and eight times in single
calls. It also repeats a command whose reply was lost, which makes our own claim look like another gateway's. Not
measured: several batches under way at once, which a server far away could answer faster.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import hiredis
from typing_extensions import override

from gateway.claims import PROBE_KEY, ignore_failure
from gateway.transport.address import explain_end, explain_unreachable
from gateway.transport.redis_url import RedisUrl
from gateway.transport.tls import NO_FILES, TlsFiles, explain_loss, explain_tls

Value = str | bytes | int
"""A part of a command."""

_PROBED_SLOTS = 16
"""The number of keys read to recognise a cluster. With two nodes, one in 65,536 clusters has all on one node."""

_PROBE_TTL = 1000
"""Milliseconds until the key of the probe expires, should it not be deleted."""

_SCRIPT = "return redis.call('GET', KEYS[1])"
"""A script that runs wherever those of claims do."""

_SCRIPT_WITH_TIME = "return redis.call('TIME')[1]"
"""A script that runs wherever those of limits and order do, which read the server's clock."""

_MODE = re.compile(rb"cluster_enabled:1\b|redis_mode:(cluster|sentinel)")
"""What INFO says of a server that is part of a cluster or a Sentinel."""
_IS_CLUSTER = (
    "the server is a node of a Redis Cluster; name its nodes in redis.cluster, in place of redis.url"
)
_IS_SENTINEL = "the server is a Redis Sentinel, which keeps no keys; name it in redis.sentinels, with redis.master, in place of redis.url"
_MEANINGS = {
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), _IS_CLUSTER),
    "READONLY": "the server is a read-only replica; give the address of its primary",
    "MASTERDOWN": "the server is a replica without its primary; give the address of the primary",
    "LOADING": "the server is still loading its data",
    "MISCONF": "the server cannot save its data, and takes no writes",
    "OOM": "the server's memory is full; raise maxmemory",
    "NOREPLICAS": "the server misses replicas, and takes no writes",
    "NOAUTH": "the server requires a password",
    "WRONGPASS": "user or password is wrong",
    "DENIED": "the server accepts connections from its own machine only; give it a password",
    "BUSY": "the server is busy with a script",
}
"""The meaning and the remedy of an error, by its first word."""

_ENDED = re.compile("reset|closed by the server")
"""The texts of errors by which a server ends a connection without a reason."""

_BATCH_SIZE = 8
"""Commands after which a batch is sent at once: the server works on them while the next are encoded."""

_MIN_CONNECT_TIMEOUT = 1.0
"""Seconds to connect and log in at least, however short the timeout of a batch is."""

_WRONG_SERVER_ERRORS = ("READONLY", "MASTERDOWN", "LOADING", "NOAUTH")
"""Errors of a server that is no longer the primary, or not yet: a new connection may lead to the right one."""

_WRONG_NODE_ERRORS = ("MOVED", "CLUSTERDOWN")
"""Errors of a node in a cluster. Where no cluster is configured, they are errors of a wrong server."""


class _IgnoredReply:
    """A reply that nobody waits for. A future would cost as much as the rest of the command."""

    __slots__ = ("_on_failure",)

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure

    def done(self) -> bool:
        return False

    def set_result(self, _: Any) -> None:
        """Ignore a reply that is no error."""

    def set_exception(self, _: Exception) -> None:
        self._on_failure()


class _ForwardedReply(_IgnoredReply):
    """A reply that is passed to a callback."""

    __slots__ = ("_on_reply",)

    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        super().__init__(ignore_failure)
        self._on_reply = on_reply

    @override
    def set_result(self, reply: Any) -> None:
        self._on_reply(reply)


Reply = asyncio.Future[Any] | _IgnoredReply
"""Where a reply goes: a future, or what looks like one to :class:`RedisConnection`."""


class RedisConnection(asyncio.Protocol):
    """An open connection; made by :func:`connect`.

    Args:
        timeout: Seconds that a batch may take; a slower one ends the connection.
        server: Host and port, for error texts.
        tls: The files of an encrypted connection, for error texts.
        in_cluster: Whether it is one of several nodes, and errors that name another are for the caller.

    Attributes:
        script_refusal: Why the server does not run our scripts; empty if it does.
        lost: Done, with the cause, when the connection is no longer usable.
    """

    unavailable_reason = ""

    def __init__(
        self,
        timeout: float,
        server: str = "the server",
        tls: TlsFiles = NO_FILES,
        *,
        in_cluster: bool = False,
    ) -> None:
        self.script_refusal = ""
        self._wrong_server = _WRONG_SERVER_ERRORS + (() if in_cluster else _WRONG_NODE_ERRORS)
        self._server = server
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._timeout = timeout
        self._reader = hiredis.Reader()
        self._waiting: list[tuple[bytes, Reply]] = []
        self._in_flight: deque[Reply] = deque()
        self._watchdog: asyncio.TimerHandle | None = None
        self._is_flush_due = False

    def execute(self, *command: Value) -> asyncio.Future[Any]:
        """Send ``command``; the future has the reply, or fails with ``hiredis.ReplyError``.

        It fails with ConnectionError if the connection is lost, and with TimeoutError if the reply is late. The
        command may have been carried out all the same.
        """
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._send(command, reply)
        if len(self._waiting) >= _BATCH_SIZE and not self._in_flight:
            self._flush()
        return reply

    def tell(self, on_failure: Callable[[], None], *command: Value) -> None:
        """Send ``command``; ``on_failure`` is called if the reply is an error or does not come."""
        self._send(command, _IgnoredReply(on_failure))

    def execute_then(self, on_reply: Callable[[Any], None], *command: Value) -> None:
        """Send ``command`` in one batch with the next :meth:`execute` of this turn of the loop.

        ``on_reply`` is called with the reply, before the future of that other command is done; not if there is an
        error.
        """
        self._send(command, _ForwardedReply(on_reply))

    def _send(self, command: tuple[Value, ...], reply: Reply) -> None:
        if self.lost.done():
            reply.set_exception(ConnectionError("connection lost"))
            return
        packed = hiredis.pack_command(command)  # type: ignore[arg-type] # the stub says a tuple of one
        self._waiting.append((packed, reply))
        if not self._in_flight and not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def abort(self) -> None:
        """Close at once, without sending the commands that wait."""
        self._fail(ConnectionError("connection closed"))

    async def close(self) -> None:
        """Send the commands that wait, receive the replies, and close."""
        if not self.lost.done():
            with suppress(OSError, hiredis.ReplyError):
                await self.execute("PING")  # replies come in order: with this one, all others have come
        self._transport.close()
        await asyncio.wait([self.lost])

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        in_flight = self._in_flight
        wrong_server = ""
        try:
            while in_flight and (reply := self._reader.gets()) is not False:
                future = in_flight.popleft()
                if future.done():  # its request was cancelled
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    future.set_exception(reply)
                    if str(reply).startswith(self._wrong_server):
                        wrong_server = explain(reply, "")
                else:
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self._fail(ConnectionError(f"not a Redis server: {error}"))
            return
        if wrong_server:
            self._fail(ConnectionError(wrong_server))
        elif not in_flight:
            if self._watchdog:
                self._watchdog.cancel()
            if self._waiting:
                self._flush()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            exc = ConnectionError(explain_tls(exc, self._server, self._tls))
        self._fail(exc if isinstance(exc, OSError) else ConnectionError("connection closed by the server"))

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._in_flight or not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        self._in_flight.extend(reply for _, reply in batch)
        self._transport.write(b"".join([command for command, _ in batch]))
        self._watchdog = self._loop.call_later(
            self._timeout, self._fail, TimeoutError(f"no reply within {self._timeout * 1000:.0f} ms")
        )

    def _fail(self, error: OSError) -> None:
        if self._watchdog:
            self._watchdog.cancel()
        if not self.lost.done():
            self.lost.set_exception(error)
            self.lost.exception()  # retrieved: nobody may be waiting for it
            self._transport.abort()
        kind = TimeoutError if isinstance(error, TimeoutError) else ConnectionError
        stranded = [*self._in_flight, *(reply for _, reply in self._waiting)]
        self._in_flight.clear()
        self._waiting.clear()
        for reply in stranded:
            if not reply.done():
                reply.set_exception(kind(str(error)))


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
    connect_timeout = max(timeout, _MIN_CONNECT_TIMEOUT)
    try:
        async with asyncio.timeout(connect_timeout):
            connection = await _open(parts, timeout, in_cluster=in_cluster)
            try:
                await _try_out(connection, parts, needs_scripts=needs_scripts, in_cluster=in_cluster)
            except BaseException:  # also when cancelled by the timeout: nothing else refers to the connection
                connection.abort()
                raise
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
    return connection


async def ask_once(parts: RedisUrl, timeout: float, *command: Value) -> Any:
    """Send one command on a connection of its own, and return the reply.

    Raises:
        OSError: The server cannot be reached, or does not answer.
        hiredis.ReplyError: The server refuses the command, or the login.
    """
    async with asyncio.timeout(max(timeout, _MIN_CONNECT_TIMEOUT)):
        connection = await _open(parts, timeout)
        try:
            for login in _login(parts):
                await connection.execute(*login)
            return await connection.execute(*command)
        finally:
            connection.abort()


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
    info, script, _ = replies[len(needed) :]
    if not in_cluster and isinstance(info, bytes) and (mode := _MODE.search(info)):
        raise ConnectionError(_IS_CLUSTER if b"cluster" in mode[0] else _IS_SENTINEL)
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


def explain(error: Exception, command: str) -> str:
    """Explain the refusal of ``command``, and what to do, followed by the server's own words.

    Redis quotes the arguments of an unknown command, and a password may be among them: they are cut off.
    """
    words = str(error).partition(", with args")[0]
    kind = words.partition(" ")[0]
    meaning = _MEANINGS.get(kind, "")
    if kind == "NOPERM":
        is_key = " key" in words
        meaning = (
            "the user may not use the keys whgw:*; grant ~whgw:*"
            if is_key
            else f"the user may not {command}; grant +{command.lower()}"
        )
    elif "unknown command" in words.lower():
        meaning = f"the server has no {command}"
    elif "DB index is out of range" in words:
        meaning = "the server has no database of that number; correct it at the end of the address"
    elif command == "SET" and "syntax error" in words:
        meaning = "the server does not take SET with NX and GET together; use Redis 7 or newer, or Valkey"
    return f"{meaning} (Redis: {words})" if meaning else words
