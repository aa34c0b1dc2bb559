"""A request while it arrives, and until it is answered."""

from __future__ import annotations

import asyncio
from io import BytesIO

import msgspec

from gateway.receive.context import RequestRecord
from gateway.receive.request import RequestHead
from gateway.signatures.request import Headers

HEAD_TIMEOUT = 5.0
"""Seconds for the head of a request, from its first byte or from the opening of its connection."""

MAX_APP_BODY = 64 * 1024
"""Bytes of a body for the ASGI application; health checks have none."""

NO_HEAD = RequestHead("", b"", b"", Headers(()), 0, "")
"""The head of what is refused before it has one."""


class Incoming(msgspec.Struct, eq=False):
    """A request while it arrives, and until it is answered.

    Attributes:
        head: its head.
        record: its record; None if the ASGI application serves it.
        opened_at: when its head was complete, on the event loop's clock.
        stays_open: whether the connection outlives it.
        max_body: bytes that its body may have.
        body_due_at: when its body has to be complete, on the event loop's clock.
        head_size: bytes of its head in memory.
        size: bytes of its body in memory.
        arrived: bytes that arrived without completing it.
        task: the task that handles it, which takes itself out of the tasks of the listener when it ends.
    """

    head: RequestHead
    record: RequestRecord | None
    opened_at: float
    stays_open: bool
    max_body: int = MAX_APP_BODY
    body_due_at: float = 0.0
    head_size: int = 0
    size: int = 0
    arrived: int = 0
    task: asyncio.Task[None] | None = None
    _body: bytes | BytesIO = b""

    @property
    def is_refused(self) -> bool:
        """Whether it has a response before it is complete."""
        return self.record is not None and self.record.response is not None

    def add(self, part: bytes) -> None:
        """Add a part of the body.

        Most bodies are one part, which is kept as it is. Others go into one buffer, which needs no object for each
        part, grows by at most an eighth, and hands its bytes over without a copy.
        """
        body = self._body
        if not self.size:
            self._body = part
        elif type(body) is bytes:
            self._body = buffer = BytesIO()
            buffer.write(body)
            buffer.write(part)
        else:
            body.write(part)  # type: ignore[union-attr]
        self.size += len(part)

    def take_body(self) -> bytes:
        """Hand over the whole body; its bytes stay counted until :meth:`forget`."""
        body, self._body = self._body, b""
        return body.getvalue() if isinstance(body, BytesIO) else body

    def forget(self) -> int:
        """Drop the body, and return how many bytes were counted for this request."""
        counted = self.size + self.head_size
        self._body = b""
        self.size = self.head_size = 0
        return counted
