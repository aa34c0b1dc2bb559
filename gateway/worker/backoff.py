"""The delays of retries: a ladder of fixed delays, each of which is a queue of its own in RabbitMQ.

A queue can only hold all its messages equally long: they leave it at its head alone.
"""

from __future__ import annotations

import random


class Backoff:
    """Delays in seconds that double from ``first`` to ``most``.

    Attributes:
        delays: the delays, shortest first.
    """

    def __init__(self, first: float, most: float) -> None:
        delays = []
        while first < most:
            delays.append(first)
            first *= 2
        self.delays: tuple[float, ...] = (*delays, most)

    def after(self, attempts: int) -> float:
        """The delay after so many attempts: their delay or the one below, so that what failed as one comes apart."""
        highest = min(attempts, len(self.delays)) - 1
        return random.choice(self.delays[max(highest - 1, 0) : highest + 1])  # noqa: S311 -- no secret

    def at_least(self, seconds: float) -> float:
        """The shortest delay that is as long; the longest of all when none is."""
        return next((delay for delay in self.delays if delay >= seconds), self.delays[-1])
