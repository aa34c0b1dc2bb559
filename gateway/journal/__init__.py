"""The journal: the record of what happened to each request and each event.

It is evidence, not the ledger: losing a piece of it never costs an event, and writing it never makes a provider wait.
Receiving processes append lines to files (:mod:`gateway.journal.writer`). The console process indexes them into a
journal (:mod:`gateway.journal.indexer`), which is what everybody reads.

This is the port. All methods may wait for a disk or a server, so that a program with an event loop calls them on a
thread; they may be called from several threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.journal.entry import Entry
from gateway.journal.query import Query

JOURNAL_FOLDER = "journal"
"""The folder of the journal, in `data_dir`."""

QUERY_BUDGET = 0.08
"""Seconds after which a search returns what it has found, and how far back it has looked."""


class Page(NamedTuple):
    """A part of the entries that match a query, newest first.

    Attributes:
        entries: The entries.
        next: Entries before this id are on the next page; None if there are none.
        searched_until: How far back the search has looked, in Unix seconds; None if the journal is empty.
        is_complete: Whether there is nothing to find beyond this page.
    """

    entries: list[Entry]
    next: int | None
    searched_until: float | None
    is_complete: bool


class Point(NamedTuple):
    """How often something happened in a span of time.

    Attributes:
        at: The beginning of the span, in Unix seconds.
        provider: The provider; empty for the whole gateway.
        measure: What was counted, such as `outcome:accepted`, `fault:no_match`, `slot:0`, `event:quarantined` or
            `latency:3`, a bucket of the histogram.
        times: How often; a sum of seconds for `latency_sum`.
    """

    at: float
    provider: str
    measure: str
    times: float


class JournalState(NamedTuple):
    """What a journal holds and costs.

    Attributes:
        entries: The number of entries.
        size: Bytes on disk.
        begins_at: The moment of the oldest entry, in Unix seconds; None if there is none.
        unindexed: Bytes that processes have written and nobody has indexed yet.
    """

    entries: int
    size: int
    begins_at: float | None
    unindexed: int


class Journal(Protocol):
    """Entries, and how often things happened, searchable."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries, in any order of their ids. An entry whose id is there already is not added again.

        Raises:
            OSError: The journal cannot be written.
        """

    def find(
        self, query: Query, *, before: int | None = None, limit: int = 50, budget: float = QUERY_BUDGET
    ) -> Page:
        """Return entries that match, newest first.

        Args:
            query: The conditions.
            before: Only entries with smaller ids: the ``next`` of the page before.
            limit: The most entries to return.
            budget: Seconds after which the search ends, complete or not.

        Raises:
            OSError: The journal cannot be read.
        """

    def follow(self, query: Query, after: int, limit: int = 500) -> list[Entry]:
        """Return entries that match and have larger ids than ``after``, oldest first.

        Raises:
            OSError: The journal cannot be read.
        """

    def timeline(self, event_id: str, provider: str = "") -> list[Entry]:
        """Return all entries of an event, oldest first; of all providers if none is named.

        Raises:
            OSError: The journal cannot be read.
        """

    def newest_id(self) -> int:
        """Return the id of the newest entry; 0 if there is none."""

    def add_points(self, points: Sequence[Point]) -> None:
        """Add numbers to those of their minute."""

    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None = None
    ) -> list[Point]:
        """Return how often things happened, summed over spans of ``step`` seconds, oldest first.

        Args:
            measures: The beginning of the measures, such as `outcome:`; empty for all.
            since: The beginning, in Unix seconds.
            until: The end.
            step: The length of a span: 60 seconds or a multiple.
            provider: Only this provider; None for all, each with its own points.
        """

    def forget(self, event_id: str, provider: str = "") -> int:
        """Erase the texts of an event from all of its entries, and return the number of those entries."""

    def state(self) -> JournalState:
        """Return what the journal holds and costs."""

    def prune(self, now: float) -> None:
        """Delete what is older or larger than the configuration allows."""

    def close(self) -> None:
        """Close all files and connections."""
