"""A spool with a broker whose faults are the test's to choose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers import ConfirmOverdue, Publisher, PublishUnavailable
from gateway.publishers.memory import MemoryPublisher
from gateway.publishers.spool.publisher import SpoolingPublisher

LARGE = 16 * 1024**2


def make_message(number: int, size: int = 10) -> Message:
    """A message that no other is equal to."""
    body = b"%06d" % number
    return Message(
        "webhooks", "acme.order", f"evt_{number}", "com.hmac.order", {"provider": "acme"}, body.ljust(size)
    )


class Broker(MemoryPublisher):
    """A broker that refuses some messages, and breaks on others.

    Attributes:
        refused: ids that it does not confirm.
        poison: ids on which it raises what nobody expects.
        overdue: ids that it does not confirm in time, with what becomes of their confirms later.
        attempts: the ids of all messages that it was given, in order.
    """

    def __init__(self, unavailable_reason: str = "") -> None:
        super().__init__()
        self.unavailable_reason = unavailable_reason
        self.refused: set[str] = set()
        self.poison: set[str] = set()
        self.overdue: dict[str, asyncio.Future[None]] = {}
        self.attempts: list[str] = []

    @override
    async def publish(self, message: Message) -> None:
        self.attempts.append(message.message_id)
        if message.message_id in self.poison:
            raise ValueError("no such thing")
        if message.message_id in self.overdue:
            raise ConfirmOverdue("not in time", self.overdue[message.message_id])
        if message.message_id in self.refused:
            raise PublishUnavailable("refused")
        await super().publish(message)


@asynccontextmanager
async def spooling(
    folder: Path, broker: Publisher, max_size: int = LARGE, slot: int = 0, slots: int = 1
) -> AsyncIterator[SpoolingPublisher]:
    """A started publisher with its spool in ``folder``."""
    publisher = SpoolingPublisher(broker, folder, max_size, slot, slots)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def fill(folder: Path, count: int, *, slot: int = 0, slots: int = 1, size: int = 10) -> None:
    """Leave ``count`` messages in a spool that nobody owns."""
    async with spooling(folder, Broker("away"), LARGE, slot, slots) as publisher:
        for number in range(count):
            await publisher.publish(make_message(number, size))
