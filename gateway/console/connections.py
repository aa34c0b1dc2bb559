"""Connections of the console that do not wait for ever: uvicorn has a limit for idle ones alone.

The head of a request has a time and a size within which it must be complete, and what is sent must be read. A connection
that takes longer is cut: otherwise a few hundred of them, which nobody has to log in for, would shut out everybody.
"""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT = 10.0
"""Seconds from the beginning of a connection, or from the answer before, until the head of a request is complete."""

MAX_HEAD = 64 * 1024
"""Bytes of a head. The parser itself has no limit."""

STALL_TIMEOUT = 60.0
"""Seconds for which a client may read nothing of an answer that is ready."""


class ConsoleConnection(HttpToolsProtocol):
    """A connection with limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = True
        self._head_size = 0
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._start("head", HEAD_TIMEOUT)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        was_in_head = self._is_in_head
        super().data_received(data)
        if was_in_head and self._is_in_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self.transport.abort()

    @override
    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_size = 0
        self._stop("head")
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._is_in_head = True
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self._is_idle():
            self._start("head", HEAD_TIMEOUT)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("stall", STALL_TIMEOUT)

    @override
    def resume_writing(self) -> None:
        self._stop("stall")
        super().resume_writing()

    def _is_idle(self) -> bool:
        """Return whether no request is being answered."""
        return bool(
            getattr(self.cycle, "response_complete", True)
        )  # there is no cycle before the first request

    def _start(self, name: str, seconds: float) -> None:
        self._stop(name)
        self._timers[name] = self.loop.call_later(seconds, self._cut, name)

    def _stop(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def _cut(self, name: str) -> None:
        del self._timers[name]
        if name == "stall" or self._is_idle():
            self.transport.abort()  # to close it would wait for what is to be sent
