"""Lines and limits as plain values, for the stores that have no scripts of their own. All times in Unix seconds."""

from __future__ import annotations

from collections.abc import Callable

from gateway.worker.store import HEAD_OF_LINE_GRACE

Line = dict[str, float]
"""The members, first come first, each with when it is, or was, to be back; 0 for one that nobody needs to wait for."""

SOON = 1.0
"""Seconds until the next look at a line, at least."""


def stand(line: Line, member: str, now: float, lease: float, is_done: Callable[[str], bool]) -> float:
    """See :meth:`gateway.worker.store.Store.stand`; changes ``line``."""
    due = line.get(member, 0.0)  # a newcomer passes nobody by
    line.setdefault(member, now)
    while (first := next(iter(line))) != member:
        awaited = line[first]
        if awaited + HEAD_OF_LINE_GRACE >= due and not is_done(first):
            return max(abs(awaited - now), SOON) if awaited else SOON
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
