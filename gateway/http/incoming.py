"""A request while it arrives and until it is answered."""

from __future__ import annotations

from gateway.exchange import Exchange, Head
from providers import Headers

HEAD_DEADLINE = 5.0
"""Seconds for the head of a request, from its first byte or from the opening of its connection."""

APP_BODY = 64 * 1024
"""Bytes of a body for the ASGI application; no health check has more."""

NO_HEAD = Head("", b"", b"", Headers(()), 0, "")
"""Of what is refused before it has a head."""


class Incoming:
    """A request while it arrives and until it is answered.

    Attributes:
        head: its head.
        exchange: what becomes of it; None where the ASGI application decides.
        parts: its body as it came, unless it is refused already.
        size: bytes of its body that are in memory.
        arrived: bytes of it that came without completing it.
        max_body: what they may become.
        opened_at: when its head was complete, on the event loop's clock.
        body_due_at: when its body has to be.
        stays_open: whether the connection outlives it.
    """

    __slots__ = (
        "arrived", "body_due_at", "exchange", "head", "max_body", "opened_at", "parts", "size", "stays_open",
    )  # fmt: skip

    def __init__(self, head: Head, exchange: Exchange | None, opened_at: float, *, stays_open: bool) -> None:
        self.head = head
        self.exchange = exchange
        self.parts: list[bytes] = []
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

    def take_body(self) -> bytes:
        """The whole body, which is given away."""
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)
