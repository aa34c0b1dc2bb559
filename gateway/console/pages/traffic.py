"""The numbers of a span of time for the whole gateway: requests, refusals, and how fast they were answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from gateway.console.pages.charts import Bars, bars
from gateway.console.pages.formatting import percent
from gateway.console.pages.wording import GROUPS, grouped
from gateway.journal import Journal
from gateway.observability.counters import LATENCY_BUCKETS
from gateway.operations.search import Bar

_RECENT = 2
"""Bars at the end whose requests make the rate of now; the last one alone has just begun."""

_BARS = 48
"""Bars of a day."""


class Latency(NamedTuple):
    """How fast requests were answered, in seconds.

    Attributes:
        p50: The median; None without requests.
        p99: The time within which 99 of 100 were answered.
        p99_by_bar: The same for each part of the span.
    """

    p50: float | None
    p99: float | None
    p99_by_bar: tuple[float | None, ...]


class Day(NamedTuple):
    """The numbers of a day.

    Attributes:
        requests: All requests.
        per_second: Requests a second in the last bars.
        totals: Requests by bar.
        refused: Requests that were refused.
        refused_share: Their share, as text.
        refused_by_bar: They, by bar.
        quarantined: Requests whose event was quarantined.
        quarantined_by_bar: They, by bar.
        p50: See :class:`Latency`.
        p99: See :class:`Latency`.
        p99_by_bar: See :class:`Latency`.
    """

    requests: float
    per_second: float
    totals: tuple[float, ...]
    refused: float
    refused_share: str
    refused_by_bar: tuple[float, ...]
    quarantined: float
    quarantined_by_bar: tuple[float, ...]
    p50: float | None
    p99: float | None
    p99_by_bar: tuple[float | None, ...]


def day_of(found: Sequence[Bar], latency: Latency) -> Day:
    """Sum the bars of a day."""
    groups = [grouped(dict(bar.counts)) for bar in found]
    totals = tuple(sum(group.values()) for group in groups)
    refused = tuple(group.get("refused", 0.0) + group.get("unavailable", 0.0) for group in groups)
    quarantined = tuple(group.get("quarantined", 0.0) for group in groups)
    recent = found[-_RECENT:]
    seconds = recent[-1].until - recent[0].at if recent else 1.0
    return Day(
        sum(totals),
        sum(totals[-_RECENT:]) / seconds,
        totals,
        sum(refused),
        percent(sum(refused) / sum(totals)) if sum(totals) else "none",
        refused,
        sum(quarantined),
        quarantined,
        *latency,
    )


def traffic_chart(found: Sequence[Bar], link: Callable[[float, float], str] | None = None) -> Bars:
    """Return the chart of requests; a bar leads to the requests of its time."""
    make = link or (lambda at, until: f"/requests?q=since:{int(at)}+until:{int(until)}")
    return bars(
        [(bar.at, bar.until, grouped(dict(bar.counts)), make(bar.at, bar.until)) for bar in found], GROUPS
    )


def latency_of(journal: Journal, since: float, until: float) -> Latency:
    """Return how fast all requests of a span were answered.

    Raises:
        OSError: The journal cannot be read.
    """
    step = max((until - since) / _BARS // 60 * 60, 60.0)
    sums: dict[int, list[float]] = {}
    for point in journal.points("latency:", since, until, step):
        counts = sums.setdefault(int((point.at - since) // step), [0.0] * (len(LATENCY_BUCKETS) + 1))
        counts[int(point.measure.partition(":")[2])] += point.times
    whole = [sum(column) for column in zip(*sums.values(), strict=True)] if sums else []
    return Latency(
        quantile(whole, 0.5),
        quantile(whole, 0.99),
        tuple(quantile(sums.get(index, []), 0.99) for index in range(_BARS)),
    )


def quantile(counts: Sequence[float], share: float) -> float | None:
    """Return the seconds within which a share of a histogram's requests were answered; None without requests."""
    total = sum(counts)
    if total <= 0:
        return None
    bounds = (*LATENCY_BUCKETS, LATENCY_BUCKETS[-1])
    before = 0.0
    for index, reached in enumerate(accumulate(counts)):
        if reached >= share * total:
            low = bounds[index - 1] if index else 0.0
            return low + (bounds[index] - low) * (share * total - before) / max(reached - before, 1e-9)
        before = reached
    return bounds[-1]
