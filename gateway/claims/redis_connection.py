"""One Redis connection on which commands of many requests travel in batches, one batch at a time.

Commands asked for while a batch is under way wait and leave together in one write, so batches grow with
load by themselves. For ten commands at a time redis-py takes three times the CPU in a
pipeline and eight times in single calls; and it repeats a command whose reply was lost, which turns our own
claim into somebody else's. Here nothing is ever sent twice; who wants a command repeated asks again.
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

from gateway.claims import PROBE_KEY, ignore_failure
from gateway.transport.address import explain_end, explain_unreachable
from gateway.transport.redis_url import RedisUrl
from gateway.transport.tls import NO_FILES, TlsFiles, explain_loss, explain_tls

Value = str | bytes | int

_PROBED_SLOTS = 16
"""Keys that are looked at: of a cluster with two nodes, one in 65,536 has all of them on the same."""

_PROBE_LIFE = 1000  # milliseconds, should it not be deleted
_SCRIPT = "return redis.call('GET', KEYS[1])"
_SCRIPT_WITH_TIME = "return redis.call('TIME')[1]"
_MODE = re.compile(rb"cluster_enabled:1\b|redis_mode:(cluster|sentinel)")
_IS_CLUSTER = (
    "the server is a node of a Redis Cluster, which is not supported; give one Redis that has all keys"
)
_IS_SENTINEL = (
    "the server is a Redis Sentinel, which keeps no keys; give the address of the Redis that it watches"
)
_MEANINGS = {
    **dict.fromkeys(("MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN"), _IS_CLUSTER),
    "READONLY": "the server is a read-only replica; give the address of its primary",
    "MASTERDOWN": "the server is a replica without its primary; give the address of the primary",
    "LOADING": "the server is still loading its data",
    "MISCONF": "the server cannot save its data, and takes no writes",
    "OOM": "the server's memory is full; raise maxmemory",
    "NOREPLICAS": "the server misses replicas, and takes no writes",
    "NOAUTH": "the server wants a password",
    "WRONGPASS": "user or password is wrong",
    "DENIED": "the server takes connections of its own machine alone; give it a password",
    "BUSY": "the server is busy with a script",
}
"""What the first word of an error means, and what to do."""

_ENDED = re.compile("reset|closed by the server")
_SENT_AT_ONCE = 8  # commands; the server works on them while we make the next
_AT_THE_WRONG_SERVER = ("READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "MOVED", "CLUSTERDOWN")
"""Errors of a server that is no master any more, or not yet: the address may lead to the right one by now."""


class _Unawaited:
    """A reply that nobody waits for: a future costs as much as the rest of the command."""

    __slots__ = ("_on_failure",)

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure

    def done(self) -> bool:
        return False

    def set_result(self, _: Any) -> None:
        """It is as it should be."""

    def set_exception(self, _: Exception) -> None:
        self._on_failure()


class _Overheard(_Unawaited):
    """A reply that is passed on."""

    __slots__ = ("_on_reply",)

    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        super().__init__(ignore_failure)
        self._on_reply = on_reply

    def set_result(self, reply: Any) -> None:
        self._on_reply(reply)


Reply = asyncio.Future[Any] | _Unawaited


class RedisConnection(asyncio.Protocol):
    """An open connection; made by :func:`connect`.

    Args:
        timeout: seconds that a batch may take. A batch that takes longer ends the connection, because a late
            reply would be taken for that of another command.
        server: host and port, for people.
        tls: the files of a connection that is encrypted.

    Attributes:
        script_refusal: why the server runs no script of ours; empty when it does.
    """

    def __init__(self, timeout: float, server: str = "the server", tls: TlsFiles = NO_FILES) -> None:
        self.script_refusal = ""
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
        """The reply to ``command``; an error reply is raised as ``hiredis.ReplyError``.

        The future raises ConnectionError when the connection is lost and TimeoutError when it is too slow; the
        command may have been carried out all the same.
        """
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._send(command, reply)
        if len(self._waiting) >= _SENT_AT_ONCE and not self._in_flight:
            self._flush()
        return reply

    def tell(self, on_failure: Callable[[], None], *command: Value) -> None:
        """Have ``command`` carried out without waiting for it; ``on_failure`` is called if it is not."""
        self._send(command, _Unawaited(on_failure))

    def overhear(self, on_reply: Callable[[Any], None], *command: Value) -> None:
        """Have ``command`` carried out in one batch with the next :meth:`execute` of this turn of the loop.

        ``on_reply`` is called with the reply, before that of the other is there; not at all if there is none.
        """
        self._send(command, _Overheard(on_reply))

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
        """Close at once; what waits is not sent."""
        self._fail(ConnectionError("connection closed"))

    async def close(self) -> None:
        """Send what waits, take the replies, and close."""
        if not self.lost.done():
            with suppress(OSError, hiredis.ReplyError):
                await self.execute("PING")  # replies come in order: all before it are there when this one is
        self._transport.close()
        await asyncio.wait([self.lost])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
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
                    if str(reply).startswith(_AT_THE_WRONG_SERVER):
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

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
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


async def connect(url: str, timeout: float, *, needs_scripts: bool = False) -> RedisConnection:
    """Open a connection to the server at ``url`` (``redis://``, ``rediss://`` or ``unix://``) and log in.

    What claims need is tried out, so that a server or a user that cannot keep them is told apart now, not by the first
    event. What they do not need may be refused.

    Args:
        url: the address.
        timeout: seconds that a batch may take.
        needs_scripts: whether it takes EVAL and TIME as well, as the order and the limits of workers do.

    Raises:
        OSError: the server cannot be reached, or cannot keep claims; the text says why and what to do.
    """
    parts, patience = RedisUrl.parse(url), max(timeout, 1.0)
    try:
        async with asyncio.timeout(patience):
            connection = await _open(asyncio.get_running_loop(), parts, timeout)
            try:
                await _try_out(connection, parts, needs_scripts=needs_scripts)
            except (
                BaseException
            ):  # cancelled by the timeout, or for good: nobody else knows of the connection
                connection.abort()
                raise
    except ssl.SSLError as error:
        raise ConnectionError(explain_tls(error, parts.server, parts.tls)) from None
    except TimeoutError as error:
        expected = "; does it speak TLS?" if parts.is_tls else ""
        raise TimeoutError(f"no answer from {parts.server} within {patience:g} s{expected}") from error
    except ConnectionError as error:
        if _ENDED.search(str(error)):
            raise ConnectionError(
                explain_loss(error, parts.server, parts.tls)
                if parts.is_tls
                else explain_end(error, parts.server, "rediss")
            ) from None
        raise
    return connection


async def _open(loop: asyncio.AbstractEventLoop, parts: RedisUrl, timeout: float) -> RedisConnection:
    context = parts.tls.context() if parts.is_tls else None
    factory = partial(RedisConnection, timeout, parts.server, parts.tls)
    try:
        if parts.path:
            return (await loop.create_unix_connection(factory, parts.path))[1]
        return (await loop.create_connection(factory, parts.host, parts.port, ssl=context))[1]
    except (ssl.SSLError, TimeoutError, ConnectionResetError):  # these are explained by who opens it
        raise
    except OSError as error:
        raise ConnectionError(explain_unreachable(error, parts.server)) from None


async def _try_out(connection: RedisConnection, parts: RedisUrl, *, needs_scripts: bool) -> None:
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
    if isinstance(info, bytes) and (mode := _MODE.search(info)):
        raise ConnectionError(_IS_CLUSTER if b"cluster" in mode[0] else _IS_SENTINEL)
    for command, reply in zip(needed, replies, strict=False):
        if isinstance(reply, hiredis.ReplyError):
            raise ConnectionError(explain(reply, str(command[0]))) from None
        if isinstance(reply, BaseException):
            raise reply
    if isinstance(script, hiredis.ReplyError):
        connection.script_refusal = explain(script, "EVAL")
        if needs_scripts:
            raise ConnectionError(f"order and limits take EVAL and TIME: {connection.script_refusal}")


def _needed(parts: RedisUrl) -> list[tuple[Value, ...]]:
    needed: list[tuple[Value, ...]] = []
    if parts.password:
        needed.append(
            ("AUTH", parts.username, parts.password) if parts.username else ("AUTH", parts.password)
        )
    if parts.database:
        needed.append(("SELECT", parts.database))
    needed.append(("SET", PROBE_KEY, b"", "NX", "PX", _PROBE_LIFE, "GET"))
    # A node of a cluster refuses keys that are another's, and knows its own: these are in slots of all nodes.
    needed += [("GET", f"{PROBE_KEY}{number}") for number in range(_PROBED_SLOTS)]
    needed.append(("DEL", PROBE_KEY))
    return needed


def explain(error: Exception, command: str) -> str:
    """Say what a refusal of ``command`` means and what to do, with the server's own words.

    What Redis says of a command that it does not know ends with the arguments, a password among them.
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
