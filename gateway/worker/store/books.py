"""Lines and limits as plain values, for the stores that have no scripts of their own. All times in Unix seconds."""

from __future__ import annotations

from collections.abc import Callable

from gateway.worker.store import PATIENCE

Line = dict[str, float | None]
"""The members, first come first, each with when it is to be back; None for one that was never put off or first."""

SOON = 1.0
"""Seconds until the next look at a line whose first member is overdue."""


def stand(line: Line, member: str, now: float, lease: float, is_done: Callable[[str], bool]) -> float:
    """See :meth:`gateway.worker.store.Store.stand`; changes ``line``."""
    due = line.setdefault(member, None) or 0.0
    while (first := next(iter(line))) != member:
        awaited = line[first] or 0.0
        if awaited + PATIENCE >= due and not is_done(first):
            return max(awaited - now, SOON)
        del line[first]
    line[member] = now + lease
    return 0.0


def reserve(grants: list[float], count: int, period: float, longest_wait: float, now: float) -> float:
    """See :meth:`gateway.worker.store.Store.reserve`; changes ``grants``, the last beginnings, oldest first."""
    at = max(now, grants[-count] + period) if len(grants) >= count else now
    if at - now <= longest_wait:
        grants.append(at)
        del grants[:-count]
    return at - now
