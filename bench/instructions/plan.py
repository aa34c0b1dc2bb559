"""How many requests are sent and counted."""

from __future__ import annotations

WARM_UP = 64
"""Requests before the first count, in which caches fill and the interpreter specialises the code."""

TURNS = {1: 60, 16: 10}
"""Turns of the first of two counts, by the number of requests that arrive in each turn."""

TIMES = 3
"""How many times as many turns the second count has. What counting itself costs is in both, and cancels out."""


def difference(width: int) -> int:
    """Return by how many requests the two counts differ."""
    return TURNS[width] * (TIMES - 1) * width
