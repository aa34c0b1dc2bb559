"""Search the journal, and say how far back the search has looked."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.journal import Journal
from gateway.journal.entry import Entry
from gateway.journal.query import Query


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
    raise NotImplementedError


def histogram(journal: Journal, query: Query, *, now: float, bars: int = 48) -> Histogram:
    """Count the requests between the query's since and until, by default of the last 24 hours."""
    raise NotImplementedError


def describe(entry: Entry) -> str:
    """Return what an entry says, as a sentence without the provider, the type and the id."""
    raise NotImplementedError
