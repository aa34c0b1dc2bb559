"""One connection: from bytes to requests, and from answers to bytes.

It is longer than other modules because it is one thing, the state of a connection, on which the transport, the
parser and the clock all act.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httptools
import structlog

from gateway.answers import NO_CONTENT, Answer, Fields
from gateway.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    Internal,
    Overloaded,
    RequestTimeout,
    ShuttingDown,
    UnknownProvider,
)
from gateway.exchange import Exchange, Head
from gateway.http.application import ask
from gateway.http.incoming import HEAD_DEADLINE, NO_HEAD, Incoming
from gateway.pipeline import Work, width_of
from gateway.webhooks import MAX_TARGET, Webhooks
from providers import Headers, MalformedRequest, Rejection

if TYPE_CHECKING:
    from gateway.http.listener import Listener

KEEP_ALIVE = 30.0
"""Seconds that a connection may be idle between requests."""

_LINGER = 1.0  # seconds for a sender to read why it was refused while it still sends
_LARGEST_HEAD = 64 * 1024  # bytes that arrive without completing a head; what is complete is judged by itself
_MOST_FRAMING = 1024 * 1024  # bytes of a request that are no body; the parser keeps trailers without a bound
_FRAMING_OF_A_BYTE = 8  # and for each byte of the body, which may come in chunks of one
_MOST_PIPELINED = 100
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """One connection of a sender.

    Attributes:
        due_at: when :meth:`expire` is to be called, on the event loop's clock.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._peer = ""
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._unfinished_head = 0
        self._is_in_head = False
        self._is_upgrade = False
        self._expects_continue = False
        self._incoming: Incoming | None = None  # the one that arrives
        self._busy: Incoming | None = None  # the one that is being handled
        self._queue: deque[Incoming] = deque()  # those that arrived behind it
        self._is_deaf = False  # the last request is there: nothing more is taken from this connection
        self._has_unread = False  # more may be sent than is looked at
        self._is_lingering = False  # it has had its last answer, and is read until its sender has seen that
        self._is_unwritable = False  # its sender does not read the answers
        self.due_at = 0.0

    # --- the transport's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        listener = self._listener
        self.due_at = self._loop.time() + HEAD_DEADLINE
        listener.connections.add(self)
        listener.watch()
        excess = len(listener.connections) - listener.limits.connections
        if excess > listener.limits.connections:
            self._transport.abort()
        elif excess > 0:
            self._refuse_unread(Overloaded("too many connections"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._listener.connections.discard(self)
        self._parser = None  # it holds this object, and this object it
        left = [incoming for incoming in (self._incoming, *self._queue) if incoming]
        self._incoming = self._busy = None
        self._queue.clear()
        for incoming in left:  # the task of the one that is handled looks after it
            self._forget_body(incoming)
            if incoming.exchange and not incoming.is_refused and self._listener.webhooks:
                self._listener.webhooks.abandon(incoming.exchange)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._is_deaf:
            self._has_unread = True
            return
        unfinished = self._fields if self._is_in_head else None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            log.exception("internal error")
            self._refuse_unread(Internal())
        except httptools.HttpParserError as error:
            if not self._is_deaf:  # else it follows a request that was the last by its own word
                self._refuse_unread(MalformedRequest(str(error)))
        if self._is_in_head:
            if self._fields is unfinished:  # still the same head
                self._unfinished_head += len(data)
                if self._unfinished_head > _LARGEST_HEAD:
                    is_target = len(self._target) > MAX_TARGET
                    self._refuse_unread(UnknownProvider() if is_target else HeadersTooLarge())
        elif self._incoming:
            self._look_at_beginning(self._incoming, len(data))

    def eof_received(self) -> bool:
        """See asyncio.Protocol: who has sent all may still wait for the answer."""
        self._is_deaf = True
        return self._busy is not None

    def pause_writing(self) -> None:
        """See asyncio.Protocol: who does not read answers gets no more of them."""
        self._is_unwritable = True
        self._pace_reading()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._is_unwritable = False
        self._pace_reading()

    def _pace_reading(self) -> None:
        if self._queue or self._is_unwritable:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def shutdown(self) -> None:
        """The process ends: be idle no longer, but finish what has begun."""
        self._listener.is_closing = True
        if not (self._busy or self._incoming or self._is_in_head or self._is_lingering):
            self._transport.close()

    def abort(self) -> None:
        """End it without a word."""
        self._transport.abort()

    def expire(self) -> None:
        """The time is over for what this connection is doing."""
        if self._is_lingering or self._transport.is_closing():
            self._transport.abort()
        elif self._busy:
            self._give_up(self._busy)
        elif self._incoming or self._is_in_head:
            self._refuse_unread(RequestTimeout())
        else:
            self._transport.close()

    # --- the parser's side ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_deaf:  # it came in one piece with the last one
            self._has_unread = True
            return
        self._target = b""
        self._fields = []
        self._head_size = self._unfinished_head = 0
        self._is_in_head = True
        if self._busy is None:
            self.due_at = self._loop.time() + HEAD_DEADLINE

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer: those are not looked at, since proxies treat them in different ways."""
        if self._is_in_head:
            self._head_size += len(name) + len(value)
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._is_deaf:
            return
        self._is_in_head = False
        parser, listener = self._parser, self._listener
        self._is_upgrade = parser.should_upgrade()
        path, _, query = self._target.partition(b"?")
        version = parser.get_http_version()
        head = Head(
            parser.get_method().decode("ascii"),
            path,
            query,
            Headers(self._fields),
            self._head_size,
            self._peer,
            version,
        )
        webhooks = listener.webhooks_at(path)
        exchange = webhooks.open(head) if webhooks else None
        stays_open = (
            version == "1.1"
            and not self._is_upgrade
            and parser.should_keep_alive()
            and not (exchange and exchange.answer)  # what is odd in its head may be odd in where it ends
        )
        incoming = Incoming(head, exchange, self._loop.time(), stays_open=stays_open)
        self._incoming = incoming
        if listener.is_closing and exchange:
            self._refuse(incoming, ShuttingDown())
        self._expects_continue = b"expect" in head.headers and version == "1.1" and not incoming.is_refused
        if self._busy is None:
            self.due_at = incoming.body_due_at

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        incoming = self._incoming
        if incoming is None or incoming.is_refused:
            return
        self._expects_continue = False
        listener = self._listener
        incoming.parts.append(data)
        incoming.size += len(data)
        listener.buffered += len(data)
        if incoming.size > incoming.max_body:
            self._refuse(incoming, BodyTooLarge())
        elif listener.buffered > listener.limits.buffered:
            self._refuse(incoming, Overloaded("too many bytes of bodies"))

    def on_message_complete(self) -> None:
        """The request is complete, but for the body of one that asks for an upgrade."""
        if not self._is_upgrade:
            self.on_rest_complete()

    def on_rest_complete(self) -> None:
        """The request is complete."""
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return
        if len(self._queue) < _MOST_PIPELINED:
            self._is_deaf = not incoming.stays_open
            try:
                self._take(incoming)
            except Exception:
                self._incoming = incoming  # it is still to be answered
                raise
        else:
            self._refuse(incoming, Overloaded("too many requests ahead of their answers"))
            self._end(incoming)

    def _decline_upgrade(self, rest: bytes) -> None:
        """Stay with HTTP/1.1, as a server may.

        The parser takes the request to end with its head and leaves the body, so another one reads that.
        """
        incoming = self._incoming
        if incoming is None:
            return
        self._parser = httptools.HttpRequestParser(_Rest(self))
        framing = [
            b"%b: %b\r\n" % field
            for field in incoming.head.headers.fields
            if field[0] in {b"content-length", b"transfer-encoding"}
        ]
        self.data_received(b"POST / HTTP/1.1\r\nconnection: close\r\n%b\r\n%b" % (b"".join(framing), rest))

    # --- requests and answers ---------------------------------------------------------------------

    def _look_at_beginning(self, incoming: Incoming, arrived: int) -> None:
        """A head without the whole of its body: refuse it before more comes, or tell it to go on."""
        incoming.arrived += arrived
        if incoming.is_refused:
            self._end(incoming)
        elif incoming.arrived - incoming.size > _MOST_FRAMING + _FRAMING_OF_A_BYTE * incoming.size:
            self._refuse_unread(HeadersTooLarge())
        elif self._expects_continue:
            self._expects_continue = False
            self._transport.write(_CONTINUE)

    def _refuse(self, incoming: Incoming, rejection: Rejection) -> None:
        self._forget_body(incoming)
        if incoming.exchange is None or self._listener.webhooks is None:  # no sender of webhooks
            self._transport.abort()
        elif not incoming.is_refused:
            self._listener.webhooks.refuse(incoming.exchange, rejection)

    def _refuse_unread(self, rejection: Rejection) -> None:
        """Refuse what has no head, or goes on as no request can; nothing behind it is read."""
        webhooks, incoming = self._listener.webhooks, self._incoming
        if incoming is not None:
            self._refuse(incoming, rejection)
        elif webhooks is not None:
            exchange = webhooks.refuse_unread(self._peer, rejection)
            incoming = Incoming(NO_HEAD, exchange, self._loop.time(), stays_open=False)
        else:
            self._transport.abort()
        if incoming is not None and not self._transport.is_closing():
            self._end(incoming)

    def _end(self, incoming: Incoming) -> None:
        """Answer a request behind which more may come, and hear no more."""
        self._incoming = None
        self._is_in_head = False
        self._is_deaf = self._has_unread = True
        self._take(incoming)

    def _take(self, incoming: Incoming) -> None:
        """Handle a request now, or after those before it."""
        if self._busy is None:
            self._handle(incoming)
        else:
            self._queue.append(incoming)
            self._pace_reading()

    def _handle(self, incoming: Incoming) -> None:
        """Come to an answer, at once or by a task."""
        exchange, listener = incoming.exchange, self._listener
        if exchange is None or listener.webhooks is None:
            self._start(incoming, self._run_app(incoming))
            return
        if exchange.answer is None:
            if listener.in_flight >= listener.limits.in_flight:
                listener.webhooks.refuse(exchange, Overloaded("too many events at a time"))
            else:
                work = listener.webhooks.examine(exchange, incoming.take_body())
                if work is not None:
                    width = width_of(work)
                    listener.in_flight += width
                    self.due_at = incoming.opened_at + exchange.endpoint.deadline
                    self._start(incoming, self._deliver(incoming, listener.webhooks, exchange, work, width))
                    return
        self._forget_body(incoming)
        self._answer(incoming, exchange.answer)

    def _start(self, incoming: Incoming, work: Coroutine[Any, Any, None]) -> None:
        self._busy = incoming
        task = self._loop.create_task(work)
        self._listener.tasks.add(task)
        task.add_done_callback(self._listener.tasks.discard)

    async def _deliver(
        self, incoming: Incoming, webhooks: Webhooks, exchange: Exchange, work: Work, width: int
    ) -> None:
        try:
            await webhooks.deliver(exchange, work)
        finally:
            self._listener.in_flight -= width
            self._forget_body(incoming)
        self._go_on(incoming, exchange.answer)

    async def _run_app(self, incoming: Incoming) -> None:
        try:
            answer = await ask(self._listener.app, incoming.head, incoming.take_body())
        finally:
            self._forget_body(incoming)
        self._go_on(incoming, answer)

    def _go_on(self, incoming: Incoming, answer: Answer | None) -> None:
        """Answer what was worked on, and turn to what came behind it."""
        if self._busy is not incoming:  # the deadline has answered it, or its sender has left
            return
        self._busy = None
        self._answer(incoming, answer)
        if self._queue:
            while self._queue and self._busy is None:
                self._handle(self._queue.popleft())
            self._pace_reading()

    def _give_up(self, incoming: Incoming) -> None:
        """Answer for what takes too long. It goes on: if it ends well, the sender's next attempt is a duplicate."""
        self._is_deaf = self._has_unread = True
        exchange, webhooks = incoming.exchange, self._listener.webhooks
        if exchange is None or webhooks is None:
            self.abort()
        else:  # its body stays in memory, and counted, until the work on it ends
            webhooks.refuse(exchange, Overloaded("no answer within the deadline"))
            self._go_on(incoming, exchange.answer)

    def _answer(self, incoming: Incoming, answer: Answer | None) -> None:
        transport = self._transport
        if answer is None or transport.is_closing():
            return
        is_last = not self._queue and (self._is_deaf or self._listener.is_closing)
        head = _render_head(answer.status, answer.fields, len(answer.body), is_last)
        body = b"" if incoming.head.method == "HEAD" or answer.status == NO_CONTENT else answer.body
        transport.write(b"".join((head, self._listener.date, b"\r\n", body)))
        now = self._loop.time()
        if is_last:
            self._hang_up(now)
        elif self._incoming:
            self.due_at = self._incoming.body_due_at
        else:
            self.due_at = now + (HEAD_DEADLINE if self._is_in_head else KEEP_ALIVE)

    def _hang_up(self, now: float) -> None:
        """Close; but while more may be sent, not before the sender can have read the answer.

        Closing over unread bytes resets the connection, and a reset can overtake the answer.
        """
        self._is_deaf = True
        self.due_at = now + _LINGER
        if self._has_unread and self._transport.can_write_eof():
            self._is_lingering = True
            self._transport.write_eof()
        else:
            self._transport.close()

    def _forget_body(self, incoming: Incoming) -> None:
        self._listener.buffered -= incoming.size
        incoming.size = 0
        incoming.parts = []


class _Rest:
    """What a parser calls that reads only the body of a request."""

    def __init__(self, connection: Connection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_rest_complete


@lru_cache(maxsize=4096)
def _render_head(status: int, fields: Fields, length: int, is_last: bool) -> bytes:
    phrase = _PHRASES.get(status, "")
    lines = [b"HTTP/1.1 %d %b" % (status, phrase.encode())]
    lines += [b"%b: %b" % field for field in fields]
    if status != NO_CONTENT:
        lines.append(b"content-length: %d" % length)
    if is_last:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b""])
