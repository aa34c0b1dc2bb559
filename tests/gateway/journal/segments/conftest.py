"""A journal whose segments are small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.journal.segments.writing import Limits
from gateway.journal.sqlite import SqliteJournal

Open = Callable[..., SqliteJournal]
"""Opens the journal of the test with segments of 40 entries, as another process would."""


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Open]:
    """Return what opens the journal of the test."""
    opened: list[SqliteJournal] = []

    def reopen(**limits: float) -> SqliteJournal:
        opened.append(SqliteJournal(tmp_path, Limits(**{"segment_entries": 40} | limits)))  # type: ignore[arg-type]  # sizes
        return opened[-1]

    yield reopen
    for journal in opened:
        journal.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the journal."""
    return tmp_path / "journal"
