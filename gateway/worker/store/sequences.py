"""Sequences and rate limits as plain values, for stores without scripts of their own. All times are Unix seconds."""

from __future__ import annotations

from collections.abc import Callable

from gateway.worker.store import HEAD_OF_LINE_GRACE

Sequence = dict[str, float]
"""The members in order of arrival, each with the time when it is due back; 0 if nobody needs to wait for it."""

MIN_DELAY = 1.0
"""The least seconds until a member asks for its turn again: each time costs a pass through a delay queue."""


def take_turn(
    sequence: Sequence, member: str, now: float, lease: float, is_done: Callable[[str], bool]
) -> float:
    """Return as :meth:`gateway.worker.store.Store.take_turn`; changes ``sequence``."""
    due = sequence.get(member, 0.0)  # 0 for a new member, which skips nobody
    sequence.setdefault(member, now)
    while (head := next(iter(sequence))) != member:
        head_due = sequence[head]
        if head_due + HEAD_OF_LINE_GRACE >= due and not is_done(head):
            return max(abs(head_due - now), MIN_DELAY) if head_due else MIN_DELAY
        del sequence[head]
    sequence[member] = now + lease
    return 0.0


def reserve(starts: list[float], count: int, period: float, max_wait: float, now: float) -> float:
    """Return as :meth:`gateway.worker.store.Store.reserve`; changes ``starts``, the last times of beginning, oldest first."""
    at = max(now, starts[-count] + period) if len(starts) >= count else now
    if at - now <= max_wait:
        starts.append(at)
        del starts[:-count]
    return at - now
