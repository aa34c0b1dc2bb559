"""Lines and limits as plain values, for the stores that have no scripts of their own. All times in Unix seconds."""

from __future__ import annotations

from gateway.worker.store import PATIENCE

Line = dict[str, float | None]
"""The members, first come first, each with when it is to be back; None for one that was never put off or first."""

SOON = 1.0
"""Seconds until the next look at a line whose first member is overdue."""


def stand(line: Line, member: str, now: float, lease: float) -> float:
    """See :meth:`gateway.worker.store.Store.stand`; changes ``line``."""
    due = line.setdefault(member, None)
    while (first := next(iter(line))) != member and due and (line[first] or 0.0) + PATIENCE < due:
        del line[first]
    if first != member:
        return max((line[first] or 0.0) - now, SOON)
    line[member] = now + lease
    return 0.0


def reserve(grants: list[float], count: int, period: float, longest_wait: float, now: float) -> float:
    """See :meth:`gateway.worker.store.Store.reserve`; changes ``grants``, the last beginnings, oldest first."""
    at = max(now, grants[-count] + period) if len(grants) >= count else now
    if at - now <= longest_wait:
        grants.append(at)
        del grants[:-count]
    return at - now
