"""One connection: from bytes to requests, and from answers to bytes.

It is longer than other modules because it is one thing, the state of a connection, on which the transport, the
parser and the clock all act.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Coroutine
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httptools
import structlog

from gateway.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    Internal,
    Overloaded,
    RequestTimeout,
    ShuttingDown,
    UnknownProvider,
)
from gateway.http.asgi import ask
from gateway.http.incoming import HEAD_DEADLINE, NO_HEAD, Incoming
from gateway.receive.context import RequestContext, RequestHead
from gateway.receive.pipeline import Work, width_of
from gateway.receive.receiver import MAX_FIELDS, MAX_HEAD, MAX_TARGET, Receiver
from gateway.receive.responses import NO_CONTENT, Fields, Response
from gateway.signatures.rejections import MalformedRequest, Rejection
from gateway.signatures.request import Headers
from gateway.signatures.schemes.fetched_keys import KeyRequest

if TYPE_CHECKING:
    from gateway.http.listener import Listener

KEEP_ALIVE_GRACE = 1.0
"""Seconds that an idle connection stays open beyond the time that its last answer told its sender."""

_LINGER = 1.0  # seconds for a sender to read why it was refused while it still sends
_SLOW_BODY = 1.0  # seconds after which a request that still arrives makes room when connections are full
_PIECE = 64 * 1024  # bytes that are parsed before it is asked whether they cost more than they bring
_LARGEST_HEAD = 64 * 1024  # bytes that arrive without completing a head; what is complete is judged by itself
_MOST_FRAMING = 64 * 1024  # bytes of a request that are no body; each chunk costs time, and trailers memory
_BYTES_OF_FRAMING = 10  # bytes of the body for another byte of framing: chunks of 60 bytes are small enough
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
        self._client = ""  # as whose it is counted
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._unfinished_head = 0
        self._held_head = 0  # bytes of an unfinished head that are counted as memory
        self._is_in_head = False
        self._is_upgrade = False
        self._expects_continue = False
        self._incoming: Incoming | None = None  # the one that arrives
        self._busy: Incoming | None = None  # the one that is being handled
        self._queue: deque[Incoming] = deque()  # those that arrived behind it
        self._stopped_reading = False  # the last request is there: nothing more is taken from this connection
        self._has_unread = False  # more may be sent than is looked at
        self._is_lingering = False  # it has had its last answer, and is read until its sender has seen that
        self._is_unwritable = False  # its sender does not read the answers
        self._since = 0.0  # when it began to do what it does
        self.due_at = 0.0

    # --- the transport's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = _plain(peer[0]) if isinstance(peer, tuple) else ""
        listener = self._listener
        self._since = now = self._loop.time()
        self.due_at = now + HEAD_DEADLINE
        most = listener.limits.connections
        self._client = listener.count(self._peer)
        has_enough = listener.has_too_many(self._client)  # nobody else has to go for its sake
        has_room = has_enough or len(listener.connections) < most or listener.make_room(now)
        listener.connections.add(self)
        listener.watch()
        if len(listener.connections) > 2 * most:
            self._transport.abort()
        elif not has_room:
            self._refuse_unread(Overloaded("too many connections"))
        elif has_enough:
            self._refuse_unread(Overloaded("too many connections of one address"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._listener.connections.discard(self)
        if self._client:
            self._listener.discount(self._client)
        self._release_head()
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
        if len(data) <= _PIECE:
            self._receive(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            self._receive(view[start : start + _PIECE])

    def _receive(self, data: bytes | memoryview) -> None:
        if self._stopped_reading:
            self._has_unread = True
            return
        unfinished = self._fields if self._is_in_head else None
        begun = self._incoming
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError:
            log.exception("internal error")
            self._refuse_unread(Internal())
        except httptools.HttpParserError as error:
            if not self._stopped_reading:  # else it follows a request that was the last by its own word
                self._refuse_unread(MalformedRequest(str(error)))
        if self._is_in_head:
            self._hold_head(len(data), is_same=self._fields is unfinished)
        elif self._incoming:
            self._look_at_beginning(self._incoming, len(data), is_same=self._incoming is begun)

    def _hold_head(self, arrived: int, *, is_same: bool) -> None:
        """Count what came of an unfinished head; ``is_same`` unless it began among the bytes that came."""
        self._held_head += arrived
        self._listener.buffered += arrived
        if is_same:
            self._unfinished_head += arrived
        if self._unfinished_head > _LARGEST_HEAD:
            self._refuse_unread(UnknownProvider() if len(self._target) > MAX_TARGET else HeadersTooLarge())
        elif self._listener.buffered > self._listener.limits.buffered:
            self._refuse_unread(Overloaded("too many bytes of requests"))

    def _release_head(self) -> None:
        self._listener.buffered -= self._held_head
        self._held_head = 0

    def eof_received(self) -> bool:
        """See asyncio.Protocol: who has sent all may still wait for the answer."""
        self._stopped_reading = True
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
        """Finish what has begun as the process ends, and be idle no longer."""
        self._listener.is_closing = True
        if not (
            self._busy or self._incoming or self._is_in_head or self._is_lingering or self._has_arrived()
        ):
            self._transport.close()

    def abort(self) -> None:
        """End it without a word."""
        self._transport.abort()

    def expire(self) -> None:
        """End what this connection is doing, whose time is over."""
        if self._is_lingering or self._transport.is_closing():
            self._transport.abort()
        elif self._busy:
            self._give_up(self._busy)
        elif self._incoming or self._is_in_head:
            self._refuse_unread(RequestTimeout())
        elif not self._has_arrived():
            self._transport.close()

    def rank(self, now: float) -> tuple[int, float] | None:
        """How soon this connection goes when there are too many; None while it has a request under way.

        First go those that wait for a request, or for the rest of its head, by how long they do; then those whose
        body has been arriving for long.
        """
        if self._busy or self._transport.is_closing():
            return None
        if self._incoming is None:
            return 0, self._since
        opened_at = self._incoming.opened_at
        return (1, opened_at) if now - opened_at > _SLOW_BODY else None

    def give_way(self) -> bool:
        """Close for the sake of another connection; False where something has arrived that is not read yet."""
        if not self._is_lingering and self._has_arrived():
            return False
        if (self._incoming or self._is_in_head) and not self._is_lingering:
            self._refuse_unread(Overloaded("too many connections"))
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()
        self._listener.connections.discard(self)
        return True

    def _has_arrived(self) -> bool:
        """Whether bytes have arrived that the event loop is about to read: closing now would reset them."""
        if self._is_unwritable:  # nothing is read from it
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    # --- the parser's side ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._stopped_reading:  # it came in one piece with the last one
            self._has_unread = True
            return
        self._target = b""
        self._fields = []
        self._head_size = self._unfinished_head = 0
        self._is_in_head = True
        if self._busy is None:
            self._since = now = self._loop.time()
            self.due_at = now + HEAD_DEADLINE

    def on_url(self, url: bytes) -> None:
        """A part of the request's target; no more of it than tells that it is too long."""
        if len(self._target) <= MAX_TARGET:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer: those are not looked at, since proxies treat them in different ways.

        Of too many fields no more are kept than tell that; a field takes far more memory than its bytes.
        """
        if self._is_in_head and self._head_size <= MAX_HEAD and len(self._fields) <= MAX_FIELDS:
            self._head_size += len(name) + len(value)
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._stopped_reading:
            return
        self._is_in_head = False
        if self._held_head:
            self._release_head()
        parser, listener = self._parser, self._listener
        self._is_upgrade = parser.should_upgrade()
        path, _, query = self._target.partition(b"?")
        version = parser.get_http_version()
        head = RequestHead(
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
        listener.buffered += self._head_size
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
        incoming.add(data)
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
            self._stopped_reading = not incoming.stays_open
            try:
                self._take(incoming)
            except Exception:
                self._incoming = incoming  # it is still to be answered
                raise
        else:
            self._refuse(incoming, Overloaded("too many requests ahead of their answers"))
            self._end(incoming)

    def _decline_upgrade(self, rest: bytes | memoryview) -> None:
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
        self._receive(b"POST / HTTP/1.1\r\nconnection: close\r\n%b\r\n%b" % (b"".join(framing), bytes(rest)))

    # --- requests and answers ---------------------------------------------------------------------

    def _look_at_beginning(self, incoming: Incoming, arrived: int, *, is_same: bool) -> None:
        """Refuse a request before its whole body is there, or tell its sender to go on.

        Args:
            incoming: the request.
            arrived: bytes that came.
            is_same: whether its head was complete before; else what else came with it cannot be told from it.
        """
        incoming.arrived += arrived if is_same else incoming.size
        if incoming.is_refused:
            self._end(incoming)
        elif incoming.arrived - incoming.size > _MOST_FRAMING + incoming.size // _BYTES_OF_FRAMING:
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
        self._release_head()
        self._stopped_reading = self._has_unread = True
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
                if isinstance(work, KeyRequest) and listener.unproven >= listener.limits.unproven:
                    listener.webhooks.refuse(exchange, Overloaded("too many requests wait for a key"))
                elif work is not None:
                    # What a key is fetched for is proven by nobody yet, and takes no room from events.
                    width = 0 if isinstance(work, KeyRequest) else width_of(work)
                    listener.in_flight += width
                    listener.unproven += not width
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
        self, incoming: Incoming, webhooks: Receiver, exchange: RequestContext, work: Work, width: int
    ) -> None:
        try:
            await webhooks.deliver(exchange, work)
        finally:
            self._listener.in_flight -= width
            self._listener.unproven -= not width
            self._forget_body(incoming)
        self._go_on(incoming, exchange.answer)

    async def _run_app(self, incoming: Incoming) -> None:
        try:
            answer = await ask(self._listener.app, incoming.head, incoming.take_body())
        finally:
            self._forget_body(incoming)
        self._go_on(incoming, answer)

    def _go_on(self, incoming: Incoming, answer: Response | None) -> None:
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
        self._stopped_reading = self._has_unread = True
        exchange, webhooks = incoming.exchange, self._listener.webhooks
        if exchange is None or webhooks is None:
            self.abort()
        else:  # its body stays in memory, and counted, until the work on it ends
            webhooks.refuse(exchange, Overloaded("no answer within the deadline"))
            self._go_on(incoming, exchange.answer)

    def _answer(self, incoming: Incoming, answer: Response | None) -> None:
        transport = self._transport
        if answer is None or transport.is_closing():
            return
        is_last = not self._queue and (self._stopped_reading or self._listener.is_closing)
        keep_alive = None if is_last else self._listener.limits.keep_alive
        head = _render_head(answer.status, answer.fields, len(answer.body), keep_alive)
        body = b"" if incoming.head.method == "HEAD" or answer.status == NO_CONTENT else answer.body
        transport.write(b"".join((head, self._listener.date, b"\r\n", body)))
        self._since = now = self._loop.time()
        if is_last:
            self._hang_up(now)
        elif self._incoming:
            self.due_at = self._incoming.body_due_at
        elif keep_alive is not None:
            self.due_at = now + (HEAD_DEADLINE if self._is_in_head else keep_alive + KEEP_ALIVE_GRACE)

    def _hang_up(self, now: float) -> None:
        """Close; but while more may be sent, not before the sender can have read the answer.

        Closing over unread bytes resets the connection, and a reset can overtake the answer.
        """
        self._stopped_reading = True
        self.due_at = now + _LINGER
        if self._has_unread and self._transport.can_write_eof():
            self._is_lingering = True
            self._transport.write_eof()
        else:
            self._transport.close()

    def _forget_body(self, incoming: Incoming) -> None:
        self._listener.buffered -= incoming.forget()


class _Rest:
    """What a parser calls that reads only the body of a request."""

    def __init__(self, connection: Connection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_rest_complete


@lru_cache(maxsize=4096)
def _render_head(status: int, fields: Fields, length: int, keep_alive: float | None) -> bytes:
    """The beginning of an answer; ``keep_alive`` tells for how many seconds the next request may come, None for none."""
    phrase = _PHRASES.get(status, "")
    lines = [b"HTTP/1.1 %d %b" % (status, phrase.encode())]
    lines += [b"%b: %b" % field for field in fields]
    if status != NO_CONTENT:
        lines.append(b"content-length: %d" % length)
    if keep_alive is None:
        lines.append(b"connection: close")
    elif keep_alive >= 1:
        lines.append(b"keep-alive: timeout=%d" % keep_alive)
    return b"\r\n".join([*lines, b""])


def _plain(peer: str) -> str:
    """An address of IPv4 as such, where a socket of both families writes it as one of IPv6."""
    return peer.removeprefix("::ffff:") if "." in peer else peer
