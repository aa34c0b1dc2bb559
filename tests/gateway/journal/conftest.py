"""Journals of every kind, behind the port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.journal.intake import Intake
from gateway.journal.memory import MemoryJournal
from gateway.journal.segments.writing import Limits
from gateway.journal.sqlite import SqliteJournal

SMALL = Limits(segment_entries=40)
"""So small that a few hundred entries fill several segments."""

MakeJournal = Callable[[], Intake]
"""Opens the journal of the test, as another process would open it."""


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def make_journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeJournal]:
    """Return what opens the journal of a test; in memory it is the same one each time."""
    opened: list[Intake] = []
    make: MakeJournal
    if request.param == "memory":
        only = MemoryJournal()
        make = lambda: only  # noqa: E731 -- one of three that differ in a word
    elif request.param == "sqlite":
        make = lambda: SqliteJournal(tmp_path, SMALL)  # noqa: E731 -- as above
    else:
        url = request.getfixturevalue("postgres_url")
        from gateway.journal.postgresql import PostgresJournal

        make = lambda: PostgresJournal(url, tmp_path)  # noqa: E731 -- as above

    def make_and_keep() -> Intake:
        opened.append(make())
        return opened[-1]

    yield make_and_keep
    for each in opened:
        each.close()


@pytest.fixture
def journal(make_journal: MakeJournal) -> Intake:
    """Open a journal."""
    return make_journal()


@pytest.fixture
def segments(tmp_path: Path) -> Iterator[SqliteJournal]:
    """Open a journal in small segments of SQLite."""
    journal = SqliteJournal(tmp_path, SMALL)
    yield journal
    journal.close()
