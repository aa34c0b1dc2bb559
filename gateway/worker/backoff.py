"""The delays of retries: a ladder of fixed rungs, each of which is a queue of its own in RabbitMQ.

A queue can only hold all its messages equally long: they leave it at its head alone.
"""

from __future__ import annotations

import random


class Ladder:
    """Delays in seconds that double from ``first`` to ``most``.

    Attributes:
        rungs: the delays, shortest first.
    """

    def __init__(self, first: float, most: float) -> None:
        rungs = []
        while first < most:
            rungs.append(first)
            first *= 2
        self.rungs: tuple[float, ...] = (*rungs, most)

    def after(self, attempts: int) -> float:
        """The delay after so many attempts: their rung or the one below, so that what failed as one comes apart."""
        highest = min(attempts, len(self.rungs)) - 1
        return random.choice(self.rungs[max(highest - 1, 0) : highest + 1])  # noqa: S311 -- no secret

    def at_least(self, seconds: float) -> float:
        """The shortest delay that is as long; the longest of all when none is."""
        return next((rung for rung in self.rungs if rung >= seconds), self.rungs[-1])
