"""Queues in which events wait for an operator: the dead events of a worker, and the quarantine.

Whoever looks into one takes nothing out: an event leaves it when it has been published elsewhere, and confirmed, or
when it is dropped on purpose. What interrupts that loses nothing, and leaves a copy at most.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.config import EMBEDDED, Config
from gateway.queues.dead_letters.letter import DeadLetter
from gateway.transport.embedded import Database

__all__ = ["DeadLetter", "DeadLetterQueue", "open_holding"]


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


def open_holding(
    config: Config, queue: str, target: str | None = None
) -> AbstractAsyncContextManager[DeadLetterQueue]:
    """The queue of that name, of which some may be moved to ``target``.

    Raises:
        OperatorError: there is no such queue, or the broker cannot be reached; also later, when it goes away.
    """
    # Imported here: a command needs one of them.
    if config.rabbitmq.url == EMBEDDED:
        from gateway.queues.dead_letters.sqlite import hold_rows  # noqa: PLC0415

        return hold_rows(Database(config.data_dir), queue, target)
    from gateway.queues.dead_letters.rabbitmq import hold_messages  # noqa: PLC0415

    return hold_messages(config.rabbitmq.address, queue, target)
