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
        measure: What was counted, such as `outcome:accepted`, `fault:signature_mismatch`, `slot:0`, `event:quarantined` or
            `latency:3`, a bucket of the histogram; see :mod:`gateway.journal.sampler`.
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
        unreadable: Lines that processes have written and nobody could read.
        corrupt: Files that were set aside because they could not be read.
    """

    entries: int
    size: int
    begins_at: float | None
    unindexed: int
    unreadable: int = 0
    corrupt: tuple[str, ...] = ()


class Arrivals(NamedTuple):
    """Entries in the order in which they were added to the journal.

    Attributes:
        entries: The entries that match, oldest first.
        position: Where to go on: all entries up to here have been looked at.
    """

    entries: list[Entry]
    position: int


class Journal(Protocol):
    """Entries, and how often things happened, searchable.

    Texts are cut to the limits of :mod:`gateway.journal.entry`; milliseconds and ages have one decimal.
    """

    def append(self, entries: Sequence[Entry]) -> int:
        """Add entries, in any order of their ids, and return how many were new.

        An entry that is there already is not added again. Another entry with the same id, as a second gateway or a worker
        on another machine may make it, is added under the next id that is free.

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

    def follow(self, query: Query, after: int, limit: int = 500) -> Arrivals:
        """Return entries that match and were added after a position, in the order in which they were added.

        This is not the order of ids: an entry may come late, such as one of another process or a worker's report. Each
        entry is returned once if every call continues at the position that the call before it returned.

        Args:
            query: The conditions.
            after: The position: that of :meth:`position`, or of the call before; 0 for the beginning of the journal.
            limit: The most entries to return.

        Raises:
            OSError: The journal cannot be read.
        """

    def position(self) -> int:
        """Return the position after the entry that was added last, where :meth:`follow` begins; 0 if there is none.

        Raises:
            OSError: The journal cannot be read.
        """

    def timeline(self, event_id: str, provider: str = "") -> list[Entry]:
        """Return all entries of an event, oldest first; of all providers if none is named.

        Raises:
            OSError: The journal cannot be read.
        """

    def add_points(self, points: Sequence[Point]) -> None:
        """Add numbers to those of their minute. A measure that begins with ``gauge:`` replaces the number.

        Raises:
            OSError: The journal cannot be written.
        """

    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None = None
    ) -> list[Point]:
        """Return how often things happened, summed over spans of ``step`` seconds, oldest first.

        Spans begin at multiples of ``step``, the first one perhaps before ``since``. Spans without anything are left out.

        Args:
            measures: The beginning of the measures, such as `outcome:`; empty for all.
            since: The beginning, in Unix seconds.
            until: The end.
            step: The length of a span: 60 seconds or a multiple.
            provider: Only this provider; None for all, each with its own points.

        Raises:
            OSError: The journal cannot be read.
        """

    def forget(self, event_id: str, provider: str = "") -> int:
        """Erase the texts of an event from all of its entries, and return the number of those entries.

        The id, the subject, the account, the client, the summary, the detail and the trace are erased; that something
        happened, when, and with which outcome stays.

        Raises:
            OSError: The journal cannot be written.
        """

    def state(self) -> JournalState:
        """Return what the journal holds and costs.

        Raises:
            OSError: The journal cannot be read.
        """

    def prune(self, now: float) -> None:
        """Delete what is older or larger than the configuration allows.

        Raises:
            OSError: The journal cannot be written.
        """

    def close(self) -> None:
        """Close all files and connections."""
