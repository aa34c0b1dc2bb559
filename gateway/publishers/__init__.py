"""Publishing: the port to the broker, and what its implementations share.

The gateway is responsible for an event until the broker has confirmed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from gateway.events.message import Message

UNROUTED_SUFFIX = ".unrouted"
"""The end of the name of the queue for events that no other queue is bound for."""

QUARANTINE_SUFFIX = ".quarantine"
"""The end of the name of the exchange and queue for events that do not match their schema."""

ARCHIVE_SUFFIX = ".archive"
"""The end of the name of the exchange and stream that keep every event for replay."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the archive keeps events: until one of the two is exceeded.

    Attributes:
        max_age: The age of an event in seconds.
        max_size: The size of all events in bytes.
    """

    max_age: float
    max_size: int


class PublishUnavailable(Exception):
    """Raised when the broker did not confirm. The message may have arrived all the same."""


class ConfirmOverdue(PublishUnavailable):
    """Raised when the broker did not confirm in time, and still may.

    Attributes:
        late: Done when the broker confirms after all; cancelled when it no longer can.
    """

    def __init__(self, cause: str, late: asyncio.Future[None]) -> None:
        super().__init__(cause)
        self.late = late


class MessageTooLarge(PublishUnavailable):
    """Raised when the broker takes no message of this size, however often it is published."""


class Publisher(Protocol):
    """Publishes messages to RabbitMQ, or to what replaces it.

    A message goes to every queue whose binding matches, or else to the ``unrouted`` queue. A confirmed message is
    durable. Neither the order of messages is guaranteed, nor that a message is published only once.
    """

    @property
    def unavailable_reason(self) -> str:
        """Return why nothing can be published at the moment; empty if messages can be."""

    @property
    def has_been_ready(self) -> bool:
        """Return whether the broker has been available since the start."""

    @property
    def is_accepting(self) -> bool:
        """Return whether messages are accepted at the moment, by the broker or by the spool."""

    @property
    def unconfirmed(self) -> int:
        """Return the number of messages that wait for their confirm."""

    @property
    def spooled(self) -> int:
        """Return the number of messages that wait on disk for the broker."""

    @property
    def corrupt(self) -> int:
        """Return the number of rows on disk that were set aside: damaged, or impossible to publish."""

    async def start(self) -> None:
        """Start connecting in the background. A server that is away is no error."""

    async def stop(self) -> None:
        """Wait for the confirms that are due, and release all resources."""

    async def reload_certificates(self) -> None:
        """Connect anew if the files of TLS have changed. By default there are none."""
        return

    def publish(self, message: Message) -> Awaitable[bool | None]:
        """Publish ``message``, and return once it is durable.

        Returns:
            True if it waits on this machine's disk; otherwise the broker is responsible for it.

        Raises:
            PublishUnavailable: The broker did not confirm, or not in time.
        """
