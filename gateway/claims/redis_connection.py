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
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import hiredis
import msgspec
from typing_extensions import override

from gateway.claims import ignore_failure
from gateway.claims.redis_errors import explain
from gateway.claims.resp import Value, pack
from gateway.transport.tls import NO_FILES, TlsFiles, explain_tls

_BATCH_SIZE = 8
"""Commands after which a batch is sent at once: the server works on them while the next are encoded."""

_WRONG_SERVER_ERRORS = ("READONLY", "MASTERDOWN", "LOADING", "NOAUTH")
"""Errors of a server that is no longer the primary, or not yet: a new connection may lead to the right one."""

_WRONG_NODE_ERRORS = ("MOVED", "CLUSTERDOWN")
"""Errors of a node in a cluster. Where no cluster is configured, they are errors of a wrong server."""


class _CallbackReply(msgspec.Struct, eq=False):
    """A reply that callbacks get. A future would cost as much as the rest of the command.

    Attributes:
        set_result: called with a reply that is no error.
        on_failure: called if the reply is an error, or does not come.
    """

    set_result: Callable[[Any], None]
    on_failure: Callable[[], None]

    def done(self) -> bool:
        return False

    def set_exception(self, _: Exception) -> None:
        self.on_failure()


def _ignore_reply(_: object) -> None:
    """Do nothing: the callback for a reply that does not matter."""


Reply = asyncio.Future[Any] | _CallbackReply
"""Where a reply goes: a future, or what looks like one to :class:`RedisConnection`."""


class RedisConnection(asyncio.Protocol):
    """An open connection; made by :mod:`gateway.claims.redis_connect`.

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
        self._commands: list[bytes] = []  # that wait, and their replies
        self._replies: list[Reply] = []
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
        if len(self._commands) >= _BATCH_SIZE and not self._in_flight:
            self._flush()
        return reply

    def tell(self, on_failure: Callable[[], None], *command: Value) -> None:
        """Send ``command``; ``on_failure`` is called if the reply is an error or does not come."""
        self._send(command, _CallbackReply(_ignore_reply, on_failure))

    def execute_then(self, on_reply: Callable[[Any], None], *command: Value) -> None:
        """Send ``command`` in one batch with the next :meth:`execute` of this turn of the loop.

        ``on_reply`` is called with the reply, before the future of that other command is done; not if there is an
        error.
        """
        self._send(command, _CallbackReply(on_reply, ignore_failure))

    def _send(self, command: tuple[Value, ...], reply: Reply) -> None:
        if self.lost.done():
            reply.set_exception(ConnectionError("connection lost"))
            return
        self._commands.append(pack(command))
        self._replies.append(reply)
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
                try:
                    if isinstance(reply, hiredis.ReplyError):
                        if str(reply).startswith(self._wrong_server):
                            wrong_server = explain(reply, "")
                        future.set_exception(reply)
                    else:
                        future.set_result(reply)
                except asyncio.InvalidStateError:  # its request was cancelled
                    pass
        except hiredis.ProtocolError as error:
            self._fail(ConnectionError(f"not a Redis server: {error}"))
            return
        if wrong_server:
            self._fail(ConnectionError(wrong_server))
        elif not in_flight:
            if self._watchdog:
                self._watchdog.cancel()
            if self._commands:
                self._flush()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            exc = ConnectionError(explain_tls(exc, self._server, self._tls))
        self._fail(exc if isinstance(exc, OSError) else ConnectionError("connection closed by the server"))

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._in_flight or not self._commands:
            return
        self._in_flight.extend(self._replies)
        commands, self._commands, self._replies = self._commands, [], []
        self._transport.write(b"".join(commands))
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
        stranded = [*self._in_flight, *self._replies]
        self._in_flight.clear()
        self._commands.clear()
        self._replies.clear()
        for reply in stranded:
            if not reply.done():
                reply.set_exception(kind(str(error)))
