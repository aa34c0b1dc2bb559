"""The HTTP protocol: uvicorn's on httptools, made lean for short answers that are complete at once.

uvicorn serves any ASGI application: it checks and writes an answer header by header, sends head and body in
two system calls, and prepares for websockets. Nearly all answers here are one of a few heads and one short
body, so the heads are remembered and each answer is one write; anything else takes uvicorn's own way.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

Fields = tuple[tuple[bytes, bytes], ...]


class Protocol(HttpToolsProtocol):
    """One connection of a sender.

    Tells the application in ``scope["head_size"]`` how large the headers are, and gives it with
    ``scope["arrived_body"]()`` a body that need not be waited for.
    """

    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0

    def on_message_begin(self) -> None:
        """See uvicorn."""
        super().on_message_begin()
        self._head_size = 0
        self._idle_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See uvicorn."""
        self._head_size += len(name) + len(value)
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start to handle a request, or queue it behind the one before it on the same connection."""
        scope: Any = self.scope
        version = self.parser.get_http_version()
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        if self.url.startswith(b"/"):
            raw_path, _, query = self.url.partition(b"?")
        else:
            parts = httptools.parse_url(self.url)
            raw_path, query = parts.path or b"/", parts.query or b""
        path = raw_path.decode("latin-1")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["head_size"] = self._head_size
        scope["arrived_body"] = self._arrived_body
        previous = self.cycle
        self.cycle = _Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if previous is None or previous.response_complete:  # type: ignore[redundant-expr]  # None at first
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _arrived_body(self) -> bytes | None:
        """The whole body when it is there already, as that of nearly every webhook is; else None."""
        return None if self.cycle.more_body else bytes(self.cycle.body)

    def on_response_complete(self) -> None:
        """Go on with the next request, or be idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        # One timer for as long as the connection lives; uvicorn sets and cancels one for each request.
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._end_idleness)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._idle_timer:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def _end_idleness(self) -> None:
        self._idle_timer = None
        if not self.cycle.response_complete:  # a request is under way, and sets the timer when it is done
            return
        remaining = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if remaining <= 0:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(remaining, self._end_idleness)


class _Cycle(RequestResponseCycle):
    """One request and its answer."""

    _start: Any = None

    async def send(self, message: Any) -> None:
        """See the ASGI specification."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._start = message
            self.response_started = True
            return
        start, self._start = self._start, None
        if start is None:
            await super().send(message)
            return
        head = self._head_of(start, message)
        if head is None:
            self.response_started = False
            await super().send(start)
            await super().send(message)
        elif not self.disconnected:
            fields = [b"%b: %b\r\n" % field for field in self.default_headers]  # the date
            self.transport.write(b"".join((head, *fields, b"\r\n", message["body"])))
            self.response_complete = True
            self.message_event.set()
            self.on_response()

    def _head_of(self, start: Any, message: Any) -> bytes | None:
        """The head of an answer that is complete at once on a connection that stays open; None for others."""
        if (
            message.get("more_body")
            or not self.keep_alive
            or self.flow.write_paused
            or self.scope["method"] == "HEAD"
        ):
            return None
        return _render_head(start["status"], tuple(start["headers"]))


@lru_cache(maxsize=1024)
def _render_head(status: int, fields: Fields) -> bytes | None:
    names = {name for name, _ in fields}
    if b"content-length" not in names or b"connection" in names:
        return None
    return STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % field for field in fields)
