"""A journal in memory: for tests, of this program and of its users."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable, Sequence
from itertools import islice

import msgspec
from typing_extensions import override

from gateway.journal import QUERY_BUDGET, Arrivals, JournalState, Page, Point
from gateway.journal.bounds import bounded
from gateway.journal.entry import Entry
from gateway.journal.forgetting import forgotten
from gateway.journal.intake import Batch, Intake, Position, Positions
from gateway.journal.matching import is_match
from gateway.journal.query import Query
from gateway.journal.spans import GAUGE_PREFIX, HOURS_KEPT, MINUTE, summed


class MemoryJournal(Intake):
    """A journal that lasts as long as the process.

    Args:
        max_age: Seconds that an entry is kept.
        max_entries: The most entries to keep.
    """

    def __init__(self, max_age: float = 1_209_600.0, max_entries: int = 1_000_000) -> None:
        self._max_age = max_age
        self._max_entries = max_entries
        self._lock = threading.RLock()
        self._entries: dict[int, Entry] = {}
        self._ids: list[int] = []  # sorted
        self._arrived: list[int] = []  # ids in the order of their arrival
        self._points: dict[tuple[float, str, str], float] = {}
        self._positions: dict[str, Position] = {}
        self._unreadable = 0

    @override
    def append(self, entries: Sequence[Entry]) -> int:
        with self._lock:
            return sum(self._add(kept) for entry in entries if (kept := bounded(entry)))

    def _add(self, entry: Entry) -> bool:
        while known := self._entries.get(entry.id):
            if known == entry:
                return False
            entry = msgspec.structs.replace(entry, id=entry.id + 1)
        self._entries[entry.id] = entry
        insort(self._ids, entry.id)
        self._arrived.append(entry.id)
        return True

    @override
    def find(
        self, query: Query, *, before: int | None = None, limit: int = 50, budget: float = QUERY_BUDGET
    ) -> Page:
        with self._lock:
            older = (self._entries[each] for each in reversed(self._ids) if before is None or each < before)
            found = list(islice((entry for entry in older if is_match(query, entry)), limit + 1))
            begins_at = self._entries[self._ids[0]].at if self._ids else None
        if len(found) <= limit:
            return Page(found, None, begins_at, is_complete=True)
        entries = found[:limit]
        return Page(entries, entries[-1].id, entries[-1].at, is_complete=False)

    @override
    def follow(self, query: Query, after: int, limit: int = 500) -> Arrivals:
        entries = []
        with self._lock:
            for position, each in enumerate(self._arrived[after:], after + 1):
                entry = self._entries.get(each)
                if entry and is_match(query, entry):
                    entries.append(entry)
                    if len(entries) == limit:
                        return Arrivals(entries, position)
            return Arrivals(entries, max(after, len(self._arrived)))

    @override
    def position(self) -> int:
        with self._lock:
            return len(self._arrived)

    @override
    def timeline(self, event_id: str, provider: str = "") -> list[Entry]:
        providers = (provider,) if provider else ()
        return self.find(Query(event_id=event_id, providers=providers), limit=1_000_000).entries[::-1]

    @override
    def add_points(self, points: Sequence[Point]) -> None:
        with self._lock:
            for at, provider, measure, times in points:
                key = (at // MINUTE * MINUTE, provider, measure)
                before = 0.0 if measure.startswith(GAUGE_PREFIX) else self._points.get(key, 0.0)
                self._points[key] = before + times

    @override
    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None = None
    ) -> list[Point]:
        with self._lock:
            kept = [Point(*key, times) for key, times in sorted(self._points.items())]
        return summed(
            (
                point
                for point in kept
                if since <= point.at < until
                and point.measure.startswith(measures)
                and provider in {None, point.provider}
            ),
            step,
        )

    @override
    def forget(self, event_id: str, provider: str = "") -> int:
        with self._lock:
            entries = self.timeline(event_id, provider)
            for entry in entries:
                self._entries[entry.id] = forgotten(entry)
        return len(entries)

    @override
    def state(self) -> JournalState:
        with self._lock:
            begins_at = self._entries[self._ids[0]].at if self._ids else None
            return JournalState(len(self._ids), 0, begins_at, 0, self._unreadable)

    @override
    def prune(self, now: float) -> None:
        with self._lock:
            kept = [each for each in self._ids if self._entries[each].at >= now - self._max_age]
            kept = kept[-self._max_entries :]
            self._entries = {each: self._entries[each] for each in kept}
            self._ids = kept
            oldest = now - HOURS_KEPT
            self._points = {key: times for key, times in self._points.items() if key[0] >= oldest}

    @override
    def take(self, read: Callable[[Positions], Batch]) -> Batch:
        with self._lock:
            batch = read(dict(self._positions))
            self.append(batch.entries)
            self._positions.update(batch.positions)
            for name in batch.gone:
                self._positions.pop(name, None)
            self._unreadable += batch.unreadable
        return batch

    @override
    def sealed_positions(self) -> Positions:
        with self._lock:
            return dict(self._positions)

    @override
    def close_full(self, now: float) -> bool:
        return False

    @override
    def close(self) -> None:
        pass
