"""A request while it arrives and until it is answered."""

from __future__ import annotations

from io import BytesIO

from gateway.receive.context import RequestContext, RequestHead
from gateway.signatures.request import Headers

HEAD_DEADLINE = 5.0
"""Seconds for the head of a request, from its first byte or from the opening of its connection."""

APP_BODY = 64 * 1024
"""Bytes of a body for the ASGI application; no health check has more."""

NO_HEAD = RequestHead("", b"", b"", Headers(()), 0, "")
"""Of what is refused before it has a head."""


class Incoming:
    """A request while it arrives and until it is answered.

    Attributes:
        head: its head.
        exchange: what becomes of it; None where the ASGI application decides.
        size: bytes of its body that are in memory.
        arrived: bytes of it that came without completing it.
        max_body: what they may become.
        opened_at: when its head was complete, on the event loop's clock.
        body_due_at: when its body has to be.
        stays_open: whether the connection outlives it.
    """

    __slots__ = (
        "_body", "_head_size", "arrived", "body_due_at", "exchange", "head", "max_body", "opened_at", "size",
        "stays_open",
    )  # fmt: skip

    def __init__(
        self, head: RequestHead, exchange: RequestContext | None, opened_at: float, *, stays_open: bool
    ) -> None:
        self.head = head
        self.exchange = exchange
        self._body: bytes | BytesIO = b""
        self._head_size = head.size
        self.size = self.arrived = 0
        self.opened_at = opened_at
        self.stays_open = stays_open
        if exchange is None or exchange.answer is not None:
            self.max_body, self.body_due_at = APP_BODY, opened_at + HEAD_DEADLINE
        else:
            self.max_body = exchange.endpoint.max_body
            self.body_due_at = opened_at + exchange.endpoint.body_deadline

    @property
    def is_refused(self) -> bool:
        """Whether its answer is known before it is complete."""
        return self.exchange is not None and self.exchange.answer is not None

    def add(self, part: bytes) -> None:
        """Take a part of the body.

        Most bodies are one part, and kept as that. Others go into one buffer, which costs nothing for each part,
        grows by an eighth at most, and gives its bytes away without a copy.
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
        """Give the whole body away; it is counted until :meth:`forget`."""
        body, self._body = self._body, b""
        return body.getvalue() if isinstance(body, BytesIO) else body

    def forget(self) -> int:
        """Hold no more of it in memory, and return how many bytes were counted for it."""
        counted = self.size + self._head_size
        self._body = b""
        self.size = self._head_size = 0
        return counted
