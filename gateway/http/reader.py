"""The reading half of a connection: from bytes to requests.

llhttp (by httptools) parses. What it does not do is here: limits on heads, chunks and bodies that hold while they
arrive, not once they are complete, and refusals that do not wait for the rest.

The module has more than 200 lines because reading is one thing, the state of one parser, on which the transport and
the parser's callbacks both act. :class:`gateway.http.connection.Connection` is the other half.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from itertools import chain
from typing import Any

import httptools
import structlog
from typing_extensions import override

from gateway.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    Internal,
    Overloaded,
    ShuttingDown,
    UnknownProvider,
)
from gateway.http.incoming import HEAD_TIMEOUT, MAX_APP_BODY, Incoming
from gateway.http.rendering import CONTINUE
from gateway.http.state import ListenerState
from gateway.receive.context import RequestContext
from gateway.receive.request import MAX_FIELDS, MAX_TARGET, RequestHead
from gateway.signatures.rejections import MalformedRequest, Rejection
from gateway.signatures.request import Headers

_PIECE_SIZE = 64 * 1024
"""Bytes that are parsed before the limits are looked at again."""

_MAX_UNFINISHED_HEAD = 64 * 1024
"""Bytes that may arrive without completing a head; a complete head has limits of its own."""

_MAX_FRAMING = 64 * 1024
"""Bytes of a request that are no body. Each chunk costs time, and trailers cost memory."""

_BYTES_PER_FRAMING_BYTE = 10
"""Bytes of body that allow another byte of framing: chunks may be as small as 60 bytes."""

_TRAILERS = [(b"", b"")] * (MAX_FIELDS + 1)
"""The fields of a request whose head is complete: so many that no trailer is added."""

_MAX_PIPELINED = 100
"""Requests of one connection that may wait behind the one that is handled."""

log = structlog.get_logger()


class RequestReader(asyncio.Protocol, ABC):
    """Reads the requests of one connection.

    Attributes:
        transport: the socket, as asyncio gives it.
        incoming: the request that arrives.
        busy: the request that is being handled.
        queue: the requests that arrived behind that one.
        is_in_head: whether a head has begun and is not complete.
        stopped_reading: whether the last request is there, so that nothing more is taken from this connection.
        since: when the connection began to do what it does, on the event loop's clock.
        due_at: when the connection expires, on the event loop's clock.
    """

    transport: asyncio.Transport

    def __init__(self, state: ListenerState) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._peer = ""
        self._target = b""
        self._fields = _TRAILERS
        self._unfinished_head = 0
        self._held_head = 0  # bytes of an unfinished head that are counted as memory
        self.is_in_head = False
        self._is_upgrade = False
        self.incoming: Incoming | None = None
        self.busy: Incoming | None = None
        self.queue: deque[Incoming] = deque()
        self.stopped_reading = False
        self._has_unread = False  # the client may be sending more than is read
        self.since = 0.0
        self.due_at = 0.0

    @abstractmethod
    def _take(self, incoming: Incoming) -> None:
        """Handle a complete request, now or after those before it."""

    @abstractmethod
    def _end(self, incoming: Incoming) -> None:
        """Answer a request that more may follow, and read nothing more."""

    @abstractmethod
    def _refuse(self, incoming: Incoming, rejection: Rejection) -> None:
        """Refuse a request that has a head."""

    @abstractmethod
    def _refuse_unread(self, rejection: Rejection) -> None:
        """Refuse what has no head, or continues as no request can; nothing after it is read."""

    # --- called by the transport ------------------------------------------------------------------

    @override
    def data_received(self, data: bytes | memoryview) -> None:
        if len(data) > _PIECE_SIZE:
            view = memoryview(data)
            for start in range(0, len(data), _PIECE_SIZE):
                self.data_received(view[start : start + _PIECE_SIZE])
            return
        if self.stopped_reading:
            self._has_unread = True
            return
        unfinished = self._fields if self.is_in_head else None
        begun = self.incoming
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError:
            log.exception("internal error")
            self._refuse_unread(Internal())
        except httptools.HttpParserError as error:
            if not self.stopped_reading:  # otherwise it follows a request that announced to be the last
                self._refuse_unread(MalformedRequest(str(error)))
        if self.is_in_head:
            self._hold_head(len(data), is_same=self._fields is unfinished)
        elif self.incoming:
            self._check_arrival(self.incoming, len(data), is_same=self.incoming is begun)

    def _hold_head(self, arrived: int, *, is_same: bool) -> None:
        """Count what arrived of an unfinished head; ``is_same`` unless the head began among these bytes."""
        if not is_same and self.busy is None:
            self.since = now = self._loop.time()
            self.due_at = now + HEAD_TIMEOUT
        self._held_head += arrived
        self._state.buffered += arrived
        if is_same:
            self._unfinished_head += arrived
        if self._unfinished_head > _MAX_UNFINISHED_HEAD:
            self._refuse_unread(UnknownProvider() if len(self._target) > MAX_TARGET else HeadersTooLarge())
        elif self._state.buffered > self._state.limits.buffered:
            self._refuse_unread(Overloaded("too many bytes of requests"))

    def _release_head(self) -> None:
        self._state.buffered -= self._held_head
        self._held_head = 0

    def _check_arrival(self, incoming: Incoming, arrived: int, *, is_same: bool) -> None:
        """Refuse a request before its whole body is there, or tell its client to go on.

        Args:
            incoming: the request.
            arrived: bytes that arrived.
            is_same: whether its head was complete before; otherwise these bytes hold a part of the head, too.
        """
        incoming.arrived += arrived if is_same else incoming.size
        if not is_same and self.busy is None:
            self.due_at = incoming.body_due_at
        if incoming.is_refused:
            self._end(incoming)
        elif incoming.arrived - incoming.size > _MAX_FRAMING + incoming.size // _BYTES_PER_FRAMING_BYTE:
            self._refuse_unread(HeadersTooLarge())
        elif not (is_same or incoming.size) and _expects_continue(incoming.head):
            self.transport.write(CONTINUE)

    # --- called by the parser ---------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin with a request."""
        if self.stopped_reading:  # it arrived in one piece with the last one
            self._has_unread = True
            return
        self._target = b""
        self._fields = []
        self._unfinished_head = 0
        self.is_in_head = True

    def on_url(self, url: bytes) -> None:
        """Add a part of the target, until it is known to be too long."""
        if len(self._target) <= MAX_TARGET:
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field. Trailers are ignored, since proxies treat them in different ways.

        Once there are too many fields no more are kept: a field takes far more memory than its bytes, which
        :data:`_MAX_UNFINISHED_HEAD` limits.
        """
        fields = self._fields
        if len(fields) <= MAX_FIELDS:
            fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Open the request: its head is complete."""
        if self.stopped_reading:
            return
        self.is_in_head = False
        if self._held_head:
            self._release_head()
        parser, state = self._parser, self._state
        self._is_upgrade = parser.should_upgrade()
        path, _, query = self._target.partition(b"?")
        version = parser.get_http_version()
        fields, self._fields = self._fields, _TRAILERS
        size = sum(map(len, chain.from_iterable(fields)))
        head = RequestHead(
            parser.get_method().decode(), path, query, Headers(fields), size, self._peer, version
        )
        receiver = state.receiver_at(path)
        record = receiver.open(head) if receiver else None
        stays_open = (
            version == "1.1"
            and not self._is_upgrade
            and parser.should_keep_alive()
            and not (record and record.response)  # if its head is odd, where it ends may be odd as well
        )
        now = self._loop.time()
        if isinstance(record, RequestContext):
            max_body, due_at = record.route.max_body, now + record.route.body_deadline
        else:
            max_body, due_at = MAX_APP_BODY, now + HEAD_TIMEOUT
        self.incoming = incoming = Incoming(head, record, now, stays_open, max_body, due_at, size)
        state.buffered += size
        if state.is_closing and record:
            self._refuse(incoming, ShuttingDown())

    def on_body(self, data: bytes) -> None:
        """Add a part of the body."""
        incoming = self.incoming
        if incoming is None or (incoming.record is not None and incoming.record.response is not None):
            return
        state = self._state
        incoming.add(data)
        state.buffered += len(data)
        if incoming.size > incoming.max_body:
            self._refuse(incoming, BodyTooLarge())
        elif state.buffered > state.limits.buffered:
            self._refuse(incoming, Overloaded("too many bytes of bodies"))

    def on_message_complete(self) -> None:
        """Hand the request over, unless it asks for an upgrade: then its body is still to come."""
        if not self._is_upgrade:
            self.on_rest_complete()

    def on_rest_complete(self) -> None:
        """Hand the request over: it is complete."""
        incoming, self.incoming = self.incoming, None
        if incoming is None:
            return
        if len(self.queue) < _MAX_PIPELINED:
            self.stopped_reading = not incoming.stays_open
            try:
                self._take(incoming)
            except Exception:
                self.incoming = incoming  # it still has to be answered
                raise
        else:
            self._refuse(incoming, Overloaded("too many requests ahead of their answers"))
            self._end(incoming)

    def _decline_upgrade(self, rest: bytes | memoryview) -> None:
        """Stay with HTTP/1.1, as a server may (RFC 9110, section 7.8).

        The parser takes such a request to end with its head, so another parser reads the body.
        """
        incoming = self.incoming
        if incoming is None:
            return
        self._parser = httptools.HttpRequestParser(_BodyCallbacks(self))
        framing = [
            b"%b: %b\r\n" % field
            for field in incoming.head.headers.fields
            if field[0] in {b"content-length", b"transfer-encoding"}
        ]
        self.data_received(
            b"POST / HTTP/1.1\r\nconnection: close\r\n%b\r\n%b" % (b"".join(framing), bytes(rest))
        )


def _expects_continue(head: RequestHead) -> bool:
    return b"expect" in head.headers and head.version == "1.1"


class _BodyCallbacks:
    """The callbacks of a parser that reads only the body of a request."""

    def __init__(self, reader: RequestReader) -> None:
        self.on_body = reader.on_body
        self.on_message_complete = reader.on_rest_complete
