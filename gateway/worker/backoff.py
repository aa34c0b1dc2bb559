"""The delays between attempts: a fixed series, because each of them is a queue of its own in RabbitMQ.

A queue releases expired messages at its head only, so all messages in one queue have to wait equally long.
"""

from __future__ import annotations

import random


class Backoff:
    """Delays in seconds that double from ``first`` up to ``longest``.

    Attributes:
        delays: The delays, shortest first.
    """

    def __init__(self, first: float, longest: float) -> None:
        delays = []
        while first < longest:
            delays.append(first)
            first *= 2
        self.delays: tuple[float, ...] = (*delays, longest)

    def after(self, attempts: int) -> float:
        """Return the delay after this many failed attempts.

        It is chosen at random between the delay of that attempt and the one before: events that failed together do
        not come back together.
        """
        highest = min(attempts, len(self.delays)) - 1
        return random.choice(self.delays[max(highest - 1, 0) : highest + 1])  # noqa: S311 -- no secret

    def at_least(self, seconds: float) -> float:
        """Return the shortest delay of at least ``seconds``, or the longest delay if all are shorter."""
        return next((delay for delay in self.delays if delay >= seconds), self.delays[-1])
