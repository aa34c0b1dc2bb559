"""Queues whose events wait for an operator: dead letters, quarantined and unrouted events.

Looking at events takes none of them out. An event leaves its queue after it was published elsewhere and confirmed, or
when an operator drops it. An interruption loses no event; at most, it leaves a copy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from gateway.queues.dead_letters.letter import DeadLetter

__all__ = ["DeadLetter", "DeadLetterQueue"]


class DeadLetterQueue(Protocol):
    """A queue of dead letters while it is open.

    Attributes:
        size: The number of events when the queue was opened, without the ones that another consumer had.
    """

    size: int

    def browse(self) -> AsyncIterator[DeadLetter]:
        """Yield these events once each, in the order of the queue.

        No other consumer gets them meanwhile.

        Read it to its end: otherwise RabbitMQ puts the events that were seen behind the others.
        """

    async def move(self, letter: DeadLetter, queue: str) -> None:
        """Move the event just yielded by :meth:`browse` into ``queue``, as if it had never failed.

        Raises:
            OperatorError: The broker has not confirmed the copy. The event stays where it was.
        """

    async def drop(self, letter: DeadLetter) -> None:
        """Delete the event that :meth:`browse` has just yielded."""
