"""The live tail: Server-Sent Events with what arrives in the journal.

An `EventSource` that loses its connection reconnects with `Last-Event-ID`, and gets what it has missed. A program gives the
id of the last message as `cursor`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.console.api.lists import Cursor, Text
from gateway.console.api.operation import Call, Operation
from gateway.console.api.tail_messages import LIST_NAME, Place
from gateway.console.api.tails import Tail
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.journal.query_language import parse_query

MAX_TAIL_AGE = 30.0
"""Seconds after which it is looked up again whether who reads a tail still may."""

_SEND_TIMEOUT = 30.0
"""Seconds within which a message must have left for the network."""

_RETRY = b"retry: 2000\n\n"
"""How long a browser waits before it reconnects, in milliseconds."""

_HEARTBEAT = b": waiting\n\n"


class TailParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to follow.

    Attributes:
        q: The query; see the list of entries.
        cursor: The `id` of the last message that was received. A browser sends it as `Last-Event-ID`.
    """

    q: Text = ""
    cursor: Cursor = ""


async def _tail(call: Call) -> Response:
    text: str = call.parameters.q
    query = parse_query(text, call.now)
    cursor = call.caller.header(b"last-event-id") or call.parameters.cursor
    if cursor:
        Place.parse(call.services.access.signer, text, cursor)
    if call.request.method == "HEAD":
        return Response(media_type="text/event-stream")
    tail = await call.services.tails.join(text, query, cursor)
    if tail is None:
        raise Problem("overloaded", "there are as many live tails as there may be", {"retry-after": "10"})
    return _Stream(call, tail)


class _Stream(Response):
    """The answer, which ends with the connection, the session, or a reader that is too slow."""

    def __init__(self, call: Call, tail: Tail) -> None:
        super().__init__(media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._call = call
        self._tail = tail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send messages until the end."""
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait([writing, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)
            await self._call.services.tails.leave(self._tail)
        if not writing.cancelled() and (error := writing.exception()) and not isinstance(error, TimeoutError):
            raise error

    async def _write(self, send: Send) -> None:
        async def put(content: bytes, *, is_last: bool = False) -> None:
            async with asyncio.timeout(_SEND_TIMEOUT):
                await send({"type": "http.response.body", "body": content, "more_body": not is_last})

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await put(_RETRY + self._start())
        clock = asyncio.get_running_loop().time
        checked_at = clock()
        async with aclosing(self._tail.batches()) as batches:
            async for batch in batches:
                if clock() - checked_at > MAX_TAIL_AGE:
                    checked_at = clock()
                    if not await self._call.request.state.is_valid():
                        break
                await put(_HEARTBEAT if batch is None else batch.encoded())
        await put(b"event: end\ndata: {}\n\n" if self._tail.is_slow else b"", is_last=True)

    def _start(self) -> bytes:
        """Return a message that only says where the tail begins, so that a break before its first one loses nothing."""
        cursor = self._tail.place.cursor(self._call.services.access.signer, self._tail.group.text).encode()
        return b"id: " + cursor + b"\nevent: start\ndata: {}\n\n"


async def _wait_for_disconnect(receive: Receive) -> None:
    message: Any = {}
    while message.get("type") != "http.disconnect":
        message = await receive()


OPERATIONS = (
    Operation(
        method="GET",
        path=LIST_NAME,
        role=Role.VIEWER,
        summary="Follow what happens, as Server-Sent Events: messages `entries`, whose `id` is the cursor to go on at.",
        handler=_tail,
        parameters=TailParameters,
        result=None,
        problems=("invalid_query", "invalid_cursor", "overloaded", "journal_unavailable"),
    ),
)
