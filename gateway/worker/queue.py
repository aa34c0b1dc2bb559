"""The port to a worker's queue: RabbitMQ, or the embedded one.

A message that waits for its next attempt, or is dead, stays what it was; only headers of
:mod:`gateway.events.message` are added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.errors import OperatorError

MessageHeaders = dict[str, str | int]


class DeliveryLost(Exception):
    """What became of a message could not be told to the broker, which delivers it again."""


class DeclarationChanged(OperatorError):
    """The queue was declared otherwise than the worker says now; nothing was changed."""

    exit_code = 3


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that was received and is to be settled, in one of the ways that :class:`Queue` has.

    Attributes:
        body: the CloudEvent in JSON.
        routing_key: ``<provider>.<event type>``, as it was published.
        attempts: how often handling it has failed.
        first_failed_at: when that was first, empty when it has not.
        replay: which forced replay of its event this is; empty when it is none.
        returns: how often it was delivered before, since it was put where it is, and not settled.
        tag: what the transport knows it by.
    """

    body: bytes
    routing_key: str
    attempts: int
    first_failed_at: str
    replay: str
    returns: int
    tag: Any


class Queue(Protocol):
    """A worker's queue with its delays and its dead queue.

    The ways to settle a delivery raise :class:`DeliveryLost` when they may not have.
    """

    async def check(self) -> None:
        """Declare everything once, or find it as it should be.

        Raises:
            OSError: the broker cannot be reached.
            DeclarationChanged: it is not as it should be.
        """

    async def start(self) -> None:
        """Begin to receive. Does not wait for a server that is not there."""

    async def stop(self) -> None:
        """End the connection; what was not settled is delivered again, to whoever comes."""

    async def receive(self, limit: int) -> list[Delivery]:
        """The next messages, one at least and ``limit`` at most; waits for them.

        Raises:
            DeclarationChanged: as :meth:`check`.
        """

    async def pause(self) -> None:
        """Receive nothing any more, and give back what nobody has taken from :meth:`receive`."""

    async def acknowledge(self, delivery: Delivery) -> None:
        """Done with it."""

    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        """Have it delivered again after ``seconds``, a delay of the ladder, with these headers added."""

    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        """Put it into the dead queue, with these headers added."""

    async def requeue(self, delivery: Delivery) -> None:
        """Have it delivered again at once."""
