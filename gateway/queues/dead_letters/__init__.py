"""Queues in which events wait for an operator: the dead events of a worker, and the quarantine.

Whoever looks into one takes nothing out: an event leaves it when it has been published elsewhere, and confirmed, or
when it is dropped on purpose. What interrupts that loses nothing, and leaves a copy at most.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from gateway.queues.dead_letters.letter import DeadLetter

__all__ = ["DeadLetter", "DeadLetterQueue"]


class DeadLetterQueue(Protocol):
    """One such queue, while it is open."""

    @property
    def size(self) -> int:
        """How many events were in it when it was opened, but for those that another consumer had."""

    def browse(self) -> AsyncIterator[DeadLetter]:
        """These events, in the order of the queue, each once. Meanwhile no other consumer gets them.

        It is to be read to its end: to RabbitMQ, events that were seen have their turn after those that were not.
        """

    async def move(self, held: DeadLetter, queue: str) -> None:
        """Put what :meth:`browse` has just given into ``queue``, as if it had never failed, and take it out of here.

        Raises:
            OperatorError: the broker has not confirmed that.
        """

    async def drop(self, held: DeadLetter) -> None:
        """Take what :meth:`browse` has just given out, for good."""
