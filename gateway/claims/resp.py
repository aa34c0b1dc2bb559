"""One Redis connection on which commands of many requests travel in batches, one batch at a time.

Commands asked for while a batch is under way wait and leave together in one write, so batches grow with
load by themselves. For ten commands at a time redis-py takes three times the CPU in a
pipeline and eight times in single calls; and it repeats a command whose reply was lost, which turns our own
claim into somebody else's. Here nothing is ever sent twice; who wants a command repeated asks again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import hiredis
from redis.asyncio.connection import SSLConnection, parse_url

from gateway.claims import PROBE_KEY, ignore_failure

Value = str | bytes | int

_SENT_AT_ONCE = 8  # commands; the server works on them while we make the next
_AT_THE_WRONG_SERVER = ("READONLY", "MASTERDOWN", "LOADING", "NOAUTH")
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
    """

    def __init__(self, timeout: float) -> None:
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
                        wrong_server = str(reply)
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


async def connect(url: str, timeout: float) -> RedisConnection:
    """Open a connection to the server at ``url`` (``redis://``, ``rediss://`` or ``unix://``) and log in.

    Raises:
        OSError: the server cannot be reached, or refuses the log-in, or takes no writes.
    """
    options = parse_url(url)
    async with asyncio.timeout(max(timeout, 1.0)):
        connection = await _open(asyncio.get_running_loop(), options, timeout)
        try:
            await asyncio.gather(*(connection.execute(*command) for command in _greetings(options)))
        except hiredis.ReplyError as error:
            connection.abort()
            raise ConnectionError(str(error)) from error
        except BaseException:  # cancelled by the timeout, or for good: nobody else knows of the connection
            connection.abort()
            raise
    return connection


async def _open(
    loop: asyncio.AbstractEventLoop, options: Mapping[str, Any], timeout: float
) -> RedisConnection:
    if "path" in options:
        return (await loop.create_unix_connection(lambda: RedisConnection(timeout), options["path"]))[1]
    context = None
    if options.get("connection_class") is SSLConnection:
        tls = SSLConnection(**{name: value for name, value in options.items() if name.startswith("ssl_")})
        context = tls.ssl_context.get()
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return (await loop.create_connection(lambda: RedisConnection(timeout), host, port, ssl=context))[1]


def _greetings(options: Mapping[str, Any]) -> list[tuple[Value, ...]]:
    greetings: list[tuple[Value, ...]] = []
    if password := options.get("password"):
        username = options.get("username")
        greetings.append(("AUTH", username, password) if username else ("AUTH", password))
    greetings.append(("CLIENT", "SETNAME", "webhook-gateway"))
    if database := options.get("db"):
        greetings.append(("SELECT", database))
    greetings.append(("DEL", PROBE_KEY))  # a replica, a server that loads or cannot save: each refuses this
    return greetings
