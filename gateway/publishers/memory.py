"""A publisher that keeps the messages: for tests, of this program and of its users."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.events.message import Message
from gateway.publishers import PublishUnavailable


class MemoryPublisher:
    """Confirms at once, or fails as told.

    Attributes:
        messages: what was confirmed, in order.
        trouble: set it to make every publish fail with this cause.
    """

    has_been_ready = True
    unconfirmed = 0
    spooled = corrupt = 0

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.unavailable_reason = ""

    @property
    def is_accepting(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return not self.unavailable_reason

    async def start(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""

    async def stop(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""

    def publish(self, message: Message) -> Awaitable[None]:
        """See :class:`gateway.publishers.Publisher`."""
        return self._publish(message)

    async def _publish(self, message: Message) -> None:
        if self.unavailable_reason:
            raise PublishUnavailable(self.unavailable_reason)
        self.messages.append(message)
