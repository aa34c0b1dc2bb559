"""Numbers of minutes summed over longer spans, for charts."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.journal import Point

MINUTE = 60.0
"""Seconds of the shortest span that is kept."""

HOUR = 3_600.0
"""Seconds of a span of what is older than the minutes that are kept."""

MINUTES_KEPT = 14 * 86_400.0
"""Seconds that numbers of minutes are kept: two weeks, as long as entries by default."""

HOURS_KEPT = 400 * 86_400.0
"""Seconds that numbers of hours are kept: a year, and the month to compare it with."""

GAUGE_PREFIX = "gauge:"
"""How measures begin that are a state and no number of times: the last one counts, not the sum."""


def summed(points: Iterable[Point], step: float) -> list[Point]:
    """Return points, given oldest first, summed over spans of ``step`` seconds; of a gauge, the last of each span."""
    sums: dict[tuple[float, str, str], float] = {}
    for at, provider, measure, times in points:
        key = (at // step * step, provider, measure)
        sums[key] = times if measure.startswith(GAUGE_PREFIX) else sums.get(key, 0.0) + times
    return [Point(*key, times) for key, times in sorted(sums.items())]
