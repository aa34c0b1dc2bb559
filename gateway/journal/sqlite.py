"""The journal in SQLite: segments of 100,000 entries, sealed and indexed when they are full.

A segment is deleted as a whole when it is too old. Most questions need one or two segments: names of files say which ids
are in them, and a table of words and numbers says whether a sealed one can have an answer at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from typing_extensions import override

from gateway.journal import QUERY_BUDGET, Arrivals, JournalState, Page, Point
from gateway.journal.entry import Entry, moment_of
from gateway.journal.intake import Batch, Intake, Positions
from gateway.journal.query import Query
from gateway.journal.raw import RAW_NAME, erase_lines, unread_size
from gateway.journal.segments.files import SEGMENTS_NAME, corrupt_files
from gateway.journal.segments.open_reader import read_positions
from gateway.journal.segments.reading import SegmentReader
from gateway.journal.segments.rollups import Rollups
from gateway.journal.segments.writing import Limits, SegmentFolder


class SqliteJournal(Intake):
    """The journal in a folder of a data directory.

    Args:
        data_dir: The data directory; nothing is made in it until something is written.
        limits: What the journal may hold.
    """

    def __init__(self, data_dir: Path, limits: Limits | None = None) -> None:
        self._folder = data_dir / "journal"
        self._reader = SegmentReader(self._folder)
        self._writer = SegmentFolder(self._folder, limits or Limits(), self._reader)
        self._rollups = Rollups(self._folder)

    @override
    def append(self, entries: Sequence[Entry]) -> int:
        with self._errors():
            return self._writer.append(entries)

    @override
    def find(
        self, query: Query, *, before: int | None = None, limit: int = 50, budget: float = QUERY_BUDGET
    ) -> Page:
        with self._errors():
            return self._reader.find(query, before, limit, budget)

    @override
    def follow(self, query: Query, after: int, limit: int = 500) -> Arrivals:
        with self._errors():
            return self._reader.follow(query, after, limit)

    @override
    def position(self) -> int:
        with self._errors():
            return self._reader.answer(self._position)

    def _position(self) -> int:
        with self._reader.snapshot() as (opened, files):
            return opened.last if opened else max((file.last for file in files), default=0)

    @override
    def timeline(self, event_id: str, provider: str = "") -> list[Entry]:
        with self._errors():
            return self._reader.timeline(Query(event_id=event_id, providers=(provider,) if provider else ()))

    @override
    def add_points(self, points: Sequence[Point]) -> None:
        with self._errors():
            self._rollups.add(points)

    @override
    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None = None
    ) -> list[Point]:
        with self._errors():
            return self._rollups.points(measures, since, until, step, provider)

    @override
    def forget(self, event_id: str, provider: str = "") -> int:
        with self._errors():
            erase_lines(self._folder / RAW_NAME, event_id, provider)
            return self._writer.erase(event_id, provider)

    @override
    def state(self) -> JournalState:
        with self._errors():
            return self._reader.answer(self._state)

    def _state(self) -> JournalState:
        with self._reader.snapshot() as (opened, files):
            entries = sum(file.entries for file in files)
            begins = [file.low for file in files]
            positions: Positions = {}
            unreadable = 0
            if opened:
                entries += opened.last - opened.state.sealed
                begins += (opened.bounds() or ())[:1]
                positions = read_positions(opened.connection)
                unreadable = opened.state.unreadable
        corrupt = {*corrupt_files(self._folder), *(file.name for file in self._reader.corrupt)}
        return JournalState(
            entries,
            _size_of(self._folder) + _size_of(self._folder / SEGMENTS_NAME),
            moment_of(min(begins)) if begins else None,
            unread_size(self._folder / RAW_NAME, positions),
            unreadable,
            tuple(sorted(corrupt)),
        )

    @override
    def prune(self, now: float) -> None:
        with self._errors():
            self._writer.prune(now, _size_of(self._folder))
            self._rollups.prune(now)

    @override
    def take(self, read: Callable[[Positions], Batch]) -> Batch:
        with self._errors():
            return self._writer.take(read)

    @override
    def sealed_positions(self) -> Positions:
        with self._errors():
            return self._writer.sealed_positions()

    @override
    def close_full(self, now: float) -> bool:
        with self._errors():
            return self._writer.close_full(now)

    @override
    def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._rollups.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into those of the port."""
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"the journal in {self._folder}: {error}") from error


def _size_of(folder: Path) -> int:
    """Return bytes of the files in a folder, without those in folders of it."""
    try:
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except FileNotFoundError:
        return 0
