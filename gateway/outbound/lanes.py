"""Lanes: how many attempts a process makes at a time, so that receivers that hang delay nobody else for long.

An attempt that takes longer than :data:`SLOW_AFTER` moves from the fast lane to the slow one, and frees its place.
Endpoints whose last attempt failed or was slow begin in the slow lane. So a thousand receivers that begin to hang delay
the others once, by that time at most.
"""

from __future__ import annotations

from enum import IntEnum

SLOW_AFTER = 2.0
"""Seconds after which an attempt moves to the slow lane."""

CAPACITIES = (1000, 500)
"""Attempts at a time in the fast and in the slow lane."""


class Lane(IntEnum):
    """Where an attempt runs."""

    FAST = 0
    SLOW = 1


class Lanes:
    """The attempts under way in one process.

    Args:
        capacities: The places in the fast and in the slow lane.

    Attributes:
        taken: The attempts in each lane. The slow lane may have more than its places: an attempt that became slow
            cannot be taken back.
    """

    def __init__(self, capacities: tuple[int, int] = CAPACITIES) -> None:
        self._capacities = capacities
        self.taken = [0, 0]

    def has_room(self, lane: Lane) -> bool:
        """Return whether an attempt may begin in a lane."""
        return self.taken[lane] < self._capacities[lane]

    def enter(self, lane: Lane) -> None:
        """Take a place."""
        self.taken[lane] += 1

    def leave(self, lane: Lane) -> None:
        """Give a place back."""
        self.taken[lane] -= 1

    def move_to_slow(self) -> None:
        """Move an attempt from the fast to the slow lane."""
        self.taken[Lane.FAST] -= 1
        self.taken[Lane.SLOW] += 1
