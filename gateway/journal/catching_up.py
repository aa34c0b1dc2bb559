"""A journal for those who read it without a console: what processes have written is indexed before each answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from typing_extensions import override

from gateway.journal import QUERY_BUDGET, Arrivals, Journal, JournalState, Page, Point
from gateway.journal.entry import Entry
from gateway.journal.indexer import Indexer
from gateway.journal.query import Query

_BUDGET = 5.0
"""Seconds that an answer waits for what is not indexed yet, at most: 250,000 entries."""

_INTERVAL = 0.2
"""Seconds between two attempts; processes write as often."""


class CatchingUpJournal(Journal):
    """A journal that indexes before it answers, unless another process indexes; then it answers at once.

    Args:
        journal: The journal.
        indexer: What fills it.
    """

    def __init__(self, journal: Journal, indexer: Indexer) -> None:
        self._journal = journal
        self._indexer = indexer
        self._caught_up_at = float("-inf")

    def _current(self) -> Journal:
        if time.monotonic() - self._caught_up_at >= _INTERVAL:
            with suppress(OSError):  # a full disk, or one that may not be written: older entries can be read
                self._indexer.try_to_catch_up(_BUDGET)
            self._caught_up_at = time.monotonic()
        return self._journal

    @override
    def append(self, entries: Sequence[Entry]) -> int:
        return self._journal.append(entries)

    @override
    def find(
        self, query: Query, *, before: int | None = None, limit: int = 50, budget: float = QUERY_BUDGET
    ) -> Page:
        return self._current().find(query, before=before, limit=limit, budget=budget)

    @override
    def follow(self, query: Query, after: int, limit: int = 500) -> Arrivals:
        return self._current().follow(query, after, limit)

    @override
    def position(self) -> int:
        return self._current().position()

    @override
    def timeline(self, event_id: str, provider: str = "") -> list[Entry]:
        return self._current().timeline(event_id, provider)

    @override
    def add_points(self, points: Sequence[Point]) -> None:
        self._journal.add_points(points)

    @override
    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None = None
    ) -> list[Point]:
        return self._journal.points(measures, since, until, step, provider)

    @override
    def forget(self, event_id: str, provider: str = "") -> int:
        return self._current().forget(event_id, provider)

    @override
    def state(self) -> JournalState:
        return self._current().state()

    @override
    def prune(self, now: float) -> None:
        self._journal.prune(now)

    @override
    def close(self) -> None:
        self._journal.close()
