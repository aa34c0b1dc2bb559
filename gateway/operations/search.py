"""Search the journal, and say how far back the search has looked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from gateway.errors import OUTCOMES
from gateway.journal import Journal, Page
from gateway.journal.entry import Entry
from gateway.journal.query import FAILURES, Query
from gateway.journal.query_language import format_moment, format_query, keys_of, without
from gateway.journal.spans import MINUTE
from gateway.operations.event_steps import describe
from gateway.operations.wording import ago

__all__ = ["Bar", "Histogram", "Relaxation", "SearchResult", "describe", "histogram", "search"]

MAX_RELAXED = 100
"""Entries that are counted for each condition that could be dropped. Beyond that there are more."""

_RELAXED_BUDGET = 0.02
"""Seconds for each of those counts."""

_DAY = 86_400.0

_TOLD_APART = frozenset(("provider", "outcome", "since", "until", "is", "kind"))
"""Keys of a query that the counters know as well."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """What a search would find without one of its conditions.

    Attributes:
        key: The key of the condition, such as `provider`; `text` for the id.
        query: The rest of the query.
        found: How many entries there are without it; at most :data:`MAX_RELAXED`.
        is_more: Whether there are more.
    """

    key: str
    query: Query
    found: int
    is_more: bool


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of entries, newest first.

    Attributes:
        entries: The entries.
        next: The id before which the next page begins; None if there is none.
        searched_until: How far back the search has looked, in Unix seconds; None if the journal is empty.
        is_complete: Whether there is nothing to find beyond this page.
        headline: What was found, as a sentence.
        relaxations: If nothing was found: which conditions to drop, the most useful first.
    """

    entries: tuple[Entry, ...]
    next: int | None
    searched_until: float | None
    is_complete: bool
    headline: str
    relaxations: tuple[Relaxation, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram above a list.

    Attributes:
        at: The beginning, in Unix seconds.
        until: The end.
        counts: How many requests had each outcome.
    """

    at: float
    until: float
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Requests over time by outcome, from the counters: exact also when entries were dropped.

    Attributes:
        bars: The bars, oldest first, without gaps.
        ignored: Keys of the query that the counters cannot tell apart, such as `type`: the bars are without them.
    """

    bars: tuple[Bar, ...]
    ignored: tuple[str, ...]


def search(
    journal: Journal, query: Query, *, before: int | None = None, limit: int = 50, now: float
) -> SearchResult:
    """Return a page of the entries that match.

    Raises:
        OSError: The journal cannot be read.
    """
    page = journal.find(query, before=before, limit=limit)
    relaxations: tuple[Relaxation, ...] = ()
    if not page.entries and page.is_complete and before is None:
        relaxations = tuple(_relaxations(journal, query))
    return SearchResult(
        tuple(page.entries),
        page.next,
        page.searched_until,
        page.is_complete,
        _headline(page, query, now),
        relaxations,
    )


def histogram(journal: Journal, query: Query, *, now: float, bars: int = 48) -> Histogram:
    """Count the requests between the query's since and until, by default of the last 24 hours.

    Raises:
        OSError: The journal cannot be read.
    """
    until = now if query.until is None else query.until
    since = until - _DAY if query.since is None else query.since
    step = max((until - since) / bars // MINUTE, 1) * MINUTE
    counts: dict[float, dict[str, int]] = defaultdict(dict)
    for provider in query.providers or (None,):
        for point in journal.points("outcome:", since // step * step, until, step, provider):
            outcome = point.measure.removeprefix("outcome:")
            if _is_wanted(query, outcome):
                bar = counts[point.at]
                bar[outcome] = bar.get(outcome, 0) + round(point.times)
    begins = [
        since // step * step + number * step
        for number in range(int((until - since // step * step) / step) + 1)
    ]
    found = tuple(Bar(at, at + step, counts.get(at, {})) for at in begins if at < until)
    return Histogram(found, tuple(key for key in keys_of(query) if key not in _TOLD_APART))


def _is_wanted(query: Query, outcome: str) -> bool:
    # A query for what workers did has no outcome of a request: the bars show all requests then.
    wanted = [each for each in query.outcomes if each in OUTCOMES]
    return (not wanted or outcome in wanted) and (not query.failures or outcome in FAILURES)


def _headline(page: Page, query: Query, now: float) -> str:
    if page.searched_until is None and not page.entries:
        return "The journal is empty: nothing has been received yet."
    number = len(page.entries)
    found = "1 entry" if number == 1 else f"{number:,} entries"
    if page.is_complete:
        if number:
            return f"{found}."
        return f"Nothing matches {format_query(query)}." if keys_of(query) else "Nothing has been received."
    looked_at = int(page.searched_until or 0)
    looked = f"looked back to {format_moment(looked_at)}, {ago(looked_at, now)}"
    return f"{found}; {looked}, and there may be more before." if number else f"Nothing yet; {looked}."


def _relaxations(journal: Journal, query: Query) -> list[Relaxation]:
    keys = keys_of(query)
    found = []
    for key in keys if len(keys) > 1 else ():
        rest = without(query, key)
        page = journal.find(rest, limit=MAX_RELAXED, budget=_RELAXED_BUDGET)
        if page.entries:
            found.append(Relaxation(key, rest, len(page.entries), not page.is_complete))
    return sorted(found, key=lambda relaxation: -relaxation.found)
