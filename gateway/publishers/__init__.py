"""Publishing: an event is somebody else's care only once the broker has confirmed it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from gateway.events.message import Message

UNROUTED_SUFFIX = ".unrouted"
QUARANTINE_SUFFIX = ".quarantine"
ARCHIVE_SUFFIX = ".archive"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the archive keeps an event: until one of the two is exceeded.

    Attributes:
        max_age: seconds.
        max_size: bytes of all events.
    """

    max_age: float
    max_size: int


class PublishUnavailable(Exception):
    """The broker did not confirm. The message may have arrived all the same."""


class ConfirmOverdue(PublishUnavailable):
    """The broker did not confirm in time, and still may.

    Attributes:
        late: done when it confirms all the same; cancelled when it no longer can.
    """

    def __init__(self, cause: str, late: asyncio.Future[None]) -> None:
        super().__init__(cause)
        self.late = late


class Publisher(Protocol):
    """A way to RabbitMQ, or to what stands in for it."""

    @property
    def unavailable_reason(self) -> str:
        """Why nothing can be published at the moment; empty when it can."""

    @property
    def has_been_ready(self) -> bool:
        """Whether the broker has been there since the start."""

    @property
    def is_accepting(self) -> bool:
        """Whether messages are taken at the moment, by the broker or by what stands in for it."""

    @property
    def unconfirmed(self) -> int:
        """Messages that wait for their confirm."""

    @property
    def spooled(self) -> int:
        """Messages that wait on disk for the broker."""

    @property
    def corrupt(self) -> int:
        """Rows on disk that were damaged, or that cannot be published, and were set aside."""

    async def start(self) -> None:
        """Begin to connect. Does not wait for a server that is not there."""

    async def stop(self) -> None:
        """Wait for the confirms that are due, and let go of all resources."""

    def publish(self, message: Message) -> Awaitable[None]:
        """Done when the broker has taken ``message`` over for good.

        Raises:
            PublishUnavailable: it has not, or not in time.
        """
