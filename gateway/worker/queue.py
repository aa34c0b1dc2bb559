"""The port to a worker's queue, in RabbitMQ or in the embedded database.

A message that waits for its next attempt, or is a dead letter, keeps its body and headers; headers are only added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import OperatorError

MessageHeaders = dict[str, str | int]


class DeliveryLost(Exception):
    """Raised when the broker may not have learned how a delivery was settled. It delivers the message again."""


class DeclarationChanged(OperatorError):
    """Raised when a queue exists with other arguments or patterns than the worker declares; nothing was changed."""

    exit_code = 3


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that was received and has to be settled, by one of the methods of :class:`Queue`.

    Attributes:
        body: The CloudEvent in JSON.
        routing_key: ``<provider>.<event type>``, as the event was published.
        attempts: The number of attempts that failed so far.
        first_failed_at: When the first attempt failed, in RFC 3339; empty if none has.
        replay: The id of the forced replay that published the message; empty if none did.
        redeliveries: How often the message was delivered before and came back unsettled, since it was last published.
        tag: The queue's own handle for the message.
    """

    body: bytes
    routing_key: str
    attempts: int
    first_failed_at: str
    replay: str
    redeliveries: int
    tag: Any


class Queue(Protocol):
    """A worker's queue, with its delay queues and its dead-letter queue.

    A delivery is settled once, by :meth:`acknowledge`, :meth:`delay`, :meth:`dead_letter` or :meth:`requeue`. Each of
    them raises :class:`DeliveryLost` if the broker may not have it, and then the message is delivered again. A message
    that is delayed or dead-lettered is never lost, but a crash in between can leave two copies of it.
    """

    async def check(self) -> None:
        """Declare everything and disconnect. Nothing that exists already is changed.

        Raises:
            OSError: The broker cannot be reached.
            DeclarationChanged: Something exists already and differs from the worker's declaration.
        """

    async def start(self) -> None:
        """Begin to receive. Does not wait for a server that cannot be reached."""

    async def stop(self) -> None:
        """Disconnect. Unsettled messages are delivered again, to any process of the worker."""

    async def receive(self, limit: int) -> list[Delivery]:
        """Wait for messages; return at least one and at most ``limit`` of them.

        Raises:
            DeclarationChanged: As for :meth:`check`.
        """

    async def pause(self) -> None:
        """Stop receiving, and return the messages that :meth:`receive` has not yet handed out."""

    async def acknowledge(self, delivery: Delivery) -> None:
        """Remove the message: it is done."""

    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        """Add ``headers`` and deliver the message again after ``seconds``, one of the delays of the worker's backoff."""

    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        """Add ``headers`` and move the message to the dead-letter queue."""

    async def requeue(self, delivery: Delivery) -> None:
        """Return the message to the queue, to be delivered again at once."""
