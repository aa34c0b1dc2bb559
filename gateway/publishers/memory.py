"""A publisher that keeps messages in memory: for tests, of this program and of its users."""

from __future__ import annotations

from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers import Publisher, PublishUnavailable


class MemoryPublisher(Publisher):
    """A publisher that confirms at once, or fails on demand.

    Attributes:
        messages: The confirmed messages, in order.
        unavailable_reason: Set it to make every publish fail with this cause.
    """

    unavailable_reason = ""
    has_been_ready = True
    unconfirmed = 0
    spooled = corrupt = 0

    def __init__(self) -> None:
        self.messages: list[Message] = []

    @property
    @override
    def is_accepting(self) -> bool:
        return not self.unavailable_reason

    @override
    async def start(self) -> None:
        pass

    @override
    async def stop(self) -> None:
        pass

    @override
    async def publish(self, message: Message) -> None:
        if self.unavailable_reason:
            raise PublishUnavailable(self.unavailable_reason)
        self.messages.append(message)
