"""Reading a folder of segments: the open one and the sealed ones together, newest first or in order of arrival."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.journal import Arrivals, Page
from gateway.journal.entry import Entry, moment_of
from gateway.journal.query import Query, is_lookup
from gateway.journal.segments.files import OPEN_NAME, SEGMENTS_NAME, SegmentFile, is_corrupt, segment_files
from gateway.journal.segments.open_reader import OpenReader, Snapshot
from gateway.journal.segments.rows import READ, KnownWords, Row, entry_of
from gateway.journal.segments.sealed import SealedSegment, SegmentCache
from gateway.journal.segments.search import conditions_of, id_bounds, search

FOLLOW_BUDGET = 0.2
"""Seconds after which a follower that is far behind gets what was found, between two segments."""

LOOKUP_BUDGET = 1.0
"""Seconds that a search for an id, a subject or an account has at least: it takes little, and "not here" should be whole."""

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(slots=True)
class _Search:
    """A search under way.

    Attributes:
        low: The smallest id that is wanted.
        high: The id below which all wanted ones are.
        limit: The most entries.
        deadline: The monotonic time after which it ends.
        found: What was found, newest first.
        reached: Ids down to which every segment was searched so far.
    """

    low: int
    high: int
    limit: int
    deadline: float
    found: list[Entry] = field(default_factory=list)
    reached: int = 0

    def add(self, rows: list[Row], words: KnownWords) -> None:
        """Add rows of a segment."""
        if rows:
            self.found = sorted(
                [*self.found, *(entry_of(row, words.texts) for row in rows)], key=lambda entry: -entry.id
            )

    def is_over(self, next_high: int) -> bool:
        """Return whether to end before the segments that are left, whose largest id is ``next_high``."""
        bound = max(self.reached, min(next_high + 1, self.high))
        if sum(entry.id >= bound for entry in self.found) > self.limit:
            return True
        if bound == self.high or time.monotonic() < self.deadline:
            return False  # every call gets further, however short its time
        self.reached = bound
        return True

    def page(self, begins_at: float | None) -> Page:
        """Return what was found; ``begins_at`` is when the journal begins."""
        entries = [entry for entry in self.found if entry.id >= self.reached]
        if len(entries) > self.limit:
            entries = entries[: self.limit]
            return Page(entries, entries[-1].id, entries[-1].at, is_complete=False)
        if self.reached > self.low:
            return Page(entries, self.reached, moment_of(self.reached), is_complete=False)
        return Page(entries, None, begins_at, is_complete=True)


class SegmentReader:
    """Reads a folder of segments. Its methods may be called by several threads.

    Args:
        folder: The folder of the journal, which need not be there yet.

    Attributes:
        corrupt: Sealed segments that could not be read, and are left out.
    """

    def __init__(self, folder: Path) -> None:
        self._segments = folder / SEGMENTS_NAME
        self._open = OpenReader(folder)
        self._cache = SegmentCache(self._segments)
        self.corrupt: set[SegmentFile] = set()

    def find(self, query: Query, before: int | None, limit: int, budget: float) -> Page:
        """Return entries, newest first, as the port says."""
        return self.answer(lambda: self._find(query, before, limit, budget))

    def _find(self, query: Query, before: int | None, limit: int, budget: float) -> Page:
        low, high = id_bounds(query, before)
        if is_lookup(query):
            budget = max(budget, LOOKUP_BUDGET)
        searched = _Search(low, high, limit, time.monotonic() + budget, reached=low)
        with self.snapshot() as (opened, files):
            begins = [file.low for file in files]
            if opened and (span := opened.bounds()):
                begins.append(span[0])
                if span[0] < high and span[1] >= low:
                    self._search_open(searched, query, opened)
        files = [file for file in files if file.low < high and file.high >= low]
        for file in sorted(files, key=lambda file: -file.high):
            if searched.is_over(file.high):
                break
            self._search_sealed(searched, query, file)
        return searched.page(moment_of(min(begins)) if begins else None)

    def timeline(self, query: Query) -> list[Entry]:
        """Return all entries that match, oldest first."""
        return self.find(query, None, 1_000_000, 3_600.0).entries[::-1]

    def follow(self, query: Query, after: int, limit: int) -> Arrivals:
        """Return entries in the order of arrival, as the port says."""
        return self.answer(lambda: self._follow(query, after, limit))

    def _follow(self, query: Query, after: int, limit: int) -> Arrivals:
        deadline = time.monotonic() + FOLLOW_BUDGET
        entries: list[Entry] = []
        position = after
        with self.snapshot() as (opened, files):
            for file in files:
                if file.last <= after:
                    continue
                question = partial(_sealed_arrivals, query, position, limit - len(entries))
                rows: list[tuple[int, Entry]] = self._ask(file, question, [])
                entries += [each for _, each in rows]
                if len(entries) >= limit:
                    return Arrivals(entries, rows[-1][0])
                position = file.last
                if time.monotonic() >= deadline:
                    return Arrivals(entries, position)
            if opened and opened.last > position:
                found = _arrivals(opened.connection, query, opened.words, position, limit - len(entries))
                entries += [entry_of(row, opened.words.texts) for row in found]
                position = found[-1][1] if len(entries) >= limit else opened.last
        return Arrivals(entries, position)

    def answer(self, ask: Callable[[], T]) -> T:
        """Return what ``ask`` returns; if the open segment is corrupt, ask again without it."""
        try:
            return ask()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            log.error(  # noqa: TRY400 -- where it happened is of no use
                "journal segment corrupt", file=OPEN_NAME, error=str(error)
            )
        self._open.leave_out()
        return ask()

    @property
    def corrupt_inode(self) -> int:
        """The number of the file of the open segment if it is corrupt."""
        return self._open.corrupt_inode

    @contextmanager
    def snapshot(self) -> Iterator[tuple[Snapshot | None, list[SegmentFile]]]:
        """Read the open segment as it is at one moment, with the sealed ones that are valid beside it."""
        with self._open.snapshot() as opened:
            files = segment_files(self._segments)  # after the beginning of the transaction
            files = [file for file in files if file not in self.corrupt]
            if opened:
                files = [file for file in files if file.last <= opened.state.sealed]
            yield opened, files

    def sealed_entry(self, entry_id: int) -> Entry | None:
        """Return the entry with an id if it is in a sealed segment."""
        for file in segment_files(self._segments):
            if file.low <= entry_id <= file.high and (entry := self.first_entry(file, "id = ?", (entry_id,))):
                return entry
        return None

    def first_entry(self, file: SegmentFile, where: str, values: tuple[object, ...]) -> Entry | None:
        """Return an entry of a sealed segment that meets a condition."""

        def question(segment: SealedSegment) -> Entry | None:
            row = segment.connection.execute(
                f"SELECT {READ} FROM entries WHERE {where} LIMIT 1",  # noqa: S608 -- values are parameters
                values,
            ).fetchone()
            return entry_of(row, segment.words.texts) if row else None

        return self._ask(file, question, None)

    def discard(self, file: SegmentFile) -> None:
        """Close a sealed segment that is about to be deleted."""
        self._cache.discard(file)

    def close(self) -> None:
        """Close all files."""
        self._open.close()
        self._cache.close()

    def _search_open(self, searched: _Search, query: Query, opened: Snapshot) -> None:
        bounds = (searched.reached, searched.high)
        rows, searched.reached = search(
            opened.connection,
            conditions_of(query, opened.words, opened.connection),
            bounds,
            opened.marks(),
            searched.limit + 1,
            searched.deadline,
        )
        searched.add(rows, opened.words)

    def _search_sealed(self, searched: _Search, query: Query, file: SegmentFile) -> None:
        bounds = (max(searched.reached, file.low), searched.high)

        def question(segment: SealedSegment) -> int:
            rows, reached = search(
                segment.connection,
                conditions_of(query, segment.words, segment.connection),
                bounds,
                segment.marks,
                searched.limit + 1,
                searched.deadline,
                segment.tallies,
            )
            searched.add(rows, segment.words)
            return reached

        reached = self._ask(file, question, bounds[0])
        if reached > bounds[0]:
            searched.reached = reached

    def _ask(self, file: SegmentFile, question: Callable[[SealedSegment], T], otherwise: T) -> T:
        """Ask a sealed segment; the answer is ``otherwise`` where the file is gone, or corrupt."""
        try:
            with self._cache.use(file) as segment:
                return question(segment)
        except FileNotFoundError:
            return otherwise  # it was deleted just now, since it was too old
        except (sqlite3.DatabaseError, KeyError, ValueError) as error:
            if isinstance(error, sqlite3.Error) and not is_corrupt(error):
                raise
            if file not in self.corrupt:
                log.error(  # noqa: TRY400 -- where it happened is of no use
                    "journal segment corrupt", file=file.name, error=str(error)
                )
            self.corrupt.add(file)
            self._cache.discard(file)
            return otherwise


def _sealed_arrivals(query: Query, after: int, limit: int, segment: SealedSegment) -> list[tuple[int, Entry]]:
    rows = _arrivals(segment.connection, query, segment.words, after, limit)
    return [(row[1], entry_of(row, segment.words.texts)) for row in rows]


def _arrivals(
    connection: sqlite3.Connection, query: Query, words: KnownWords, after: int, limit: int
) -> list[Row]:
    conditions = conditions_of(query, words, connection)
    if conditions.is_impossible:
        return []
    where = " AND ".join(["seq > ?", "id >= ?", "id < ?", *conditions.terms])
    return connection.execute(
        f"SELECT {READ} FROM entries WHERE {where} ORDER BY seq LIMIT ?",  # noqa: S608 -- values are parameters
        (after, *id_bounds(query, None), *conditions.values, limit),
    ).fetchall()
