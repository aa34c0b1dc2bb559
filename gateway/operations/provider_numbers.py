"""What the counters say of a provider: sums, quantiles of the histogram, lines of charts, and gaps between events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from gateway.journal import Journal, Point
from gateway.journal.spans import MINUTE
from gateway.observability.counters import LATENCY_BUCKETS
from gateway.operations.provider_models import Chart, Series, Silence

SPANS = 48
"""Spans of a chart: a bar has a width that can be seen and pointed at."""

GAP_STEP = 300.0
"""Seconds of the spans in which gaps are measured."""

WEEK = 7 * 86_400.0

MIN_SILENCE = 900.0
"""Seconds of silence that are never unusual."""

_SILENCE_FACTOR = 5
"""How much longer than usual a silence has to be."""

_MIN_EVENTS = 100
"""Events in a week below which nobody can say what is usual."""


def sums_of(points: Iterable[Point]) -> Counter[str]:
    """Return the sum of each measure."""
    sums: Counter[str] = Counter()
    for point in points:
        sums[point.measure] += point.times  # type: ignore[assignment]  # sums of seconds are fractions
    return sums


def named(sums: Mapping[str, float], prefix: str) -> tuple[tuple[str, int], ...]:
    """Return the measures that begin with ``prefix``, without it, most frequent first."""
    found = [
        (name.removeprefix(prefix), round(times)) for name, times in sums.items() if name.startswith(prefix)
    ]
    return tuple(sorted((each for each in found if each[1]), key=lambda each: (-each[1], each[0])))


def quantile(sums: Mapping[str, float], share: float) -> float | None:
    """Return the seconds within which a share of the requests was answered, from the buckets of the histogram.

    Within a bucket, requests count as spread evenly. Beyond the last bound nothing is known but that bound.
    """
    buckets = [sums.get(f"latency:{index}", 0.0) for index in range(len(LATENCY_BUCKETS) + 1)]
    total = sum(buckets)
    if total <= 0:
        return None
    wanted, seen, low = share * total, 0.0, 0.0
    for times, high in zip(buckets, LATENCY_BUCKETS, strict=False):
        if times and seen + times >= wanted:
            return low + (high - low) * (wanted - seen) / times
        seen, low = seen + times, high
    return LATENCY_BUCKETS[-1]


def step_of(window: float) -> float:
    """Return the length of a span, in whole minutes, for a window."""
    return max(round(window / SPANS / MINUTE), 1) * MINUTE


def chart_of(points: Iterable[Point], prefix: str, since: float, until: float, step: float) -> Chart:
    """Return one line for each measure that begins with ``prefix``, the largest first; a span without points is 0."""
    begins_at = since // step * step
    spans = int((until - begins_at) // step) + 1
    lines: dict[str, list[float | None]] = defaultdict(lambda: [0.0] * spans)
    for point in points:
        place = int((point.at - begins_at) // step)
        if point.measure.startswith(prefix) and 0 <= place < spans:
            line = lines[point.measure.removeprefix(prefix)]
            line[place] = (line[place] or 0.0) + point.times
    ordered = sorted(lines.items(), key=lambda line: -sum(value or 0.0 for value in line[1]))
    return Chart(begins_at, step, tuple(Series(name, tuple(values)) for name, values in ordered))


def latency_chart(points: Sequence[Point], since: float, until: float, step: float) -> Chart:
    """Return the lines `p50` and `p99`; None in spans without requests."""
    begins_at = since // step * step
    spans = int((until - begins_at) // step) + 1
    by_span: dict[int, Counter[str]] = defaultdict(Counter)
    for point in points:
        if point.measure.startswith("latency:"):
            by_span[int((point.at - begins_at) // step)][point.measure] += point.times  # type: ignore[assignment]
    lines = {
        name: tuple(quantile(by_span[place], share) if place in by_span else None for place in range(spans))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return Chart(begins_at, step, tuple(Series(name, values) for name, values in lines.items()))


def silence_of(journal: Journal, provider: str, last_event_at: float | None, now: float) -> Silence:
    """Return how long a provider has been silent, beside what is usual for it.

    Usual is what 99 of 100 gaps between the events of the last seven days were shorter than.
    """
    if last_event_at is None:
        return Silence(None, None, is_unusual=False)
    seconds = max(now - last_event_at, 0.0)
    if seconds < MIN_SILENCE:
        return Silence(seconds, None, is_unusual=False)
    points = journal.points("event:accepted", now - WEEK, now, GAP_STEP, provider)
    events = sum(point.times for point in points)
    if events < _MIN_EVENTS:
        return Silence(seconds, None, is_unusual=False)
    active = sorted({point.at for point in points if point.times})
    gaps = sorted((later - at for at, later in pairwise(active)), reverse=True)
    place = int(events * 0.01)
    # Most gaps are within a span, and shorter than it.
    usual = gaps[place] if place < len(gaps) else GAP_STEP
    return Silence(seconds, usual, is_unusual=seconds > max(_SILENCE_FACTOR * usual, MIN_SILENCE))
