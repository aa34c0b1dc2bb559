"""Lanes: how many attempts a process makes at a time, so that receivers that hang delay nobody else for long.

An attempt that takes longer than :data:`SLOW_AFTER` moves from the fast lane to the slow one, and frees its place.
Endpoints whose last attempt failed or was slow begin in the slow lane. So a thousand receivers that begin to hang delay
the others once, by that time at most.
"""

from __future__ import annotations

from collections.abc import Callable
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


class Place:
    """The place of one attempt in its lane.

    Args:
        lanes: The lanes.
        lane: The lane that the attempt has entered.
        on_room: Called whenever the attempt has made room in a lane.

    Attributes:
        lane: The lane in which it is now.
    """

    __slots__ = ("_lanes", "_on_room", "lane")

    def __init__(self, lanes: Lanes, lane: Lane, on_room: Callable[[], None]) -> None:
        self._lanes = lanes
        self._on_room = on_room
        self.lane = lane

    def become_slow(self) -> None:
        """Move to the slow lane."""
        if self.lane is Lane.FAST:
            self.lane = Lane.SLOW
            self._lanes.move_to_slow()
            self._on_room()

    def leave(self) -> None:
        """Give the place back."""
        self._lanes.leave(self.lane)
        self._on_room()
