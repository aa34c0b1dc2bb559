"""Pages and followers while entries arrive: each entry exactly once, in whatever order and segment it comes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.journal.intake import Intake
from gateway.journal.memory import MemoryJournal
from gateway.journal.query import Query
from gateway.journal.segments import open_reader, sealed
from gateway.journal.segments.writing import Limits
from gateway.journal.sqlite import SqliteJournal
from support.journals import NOW, entry

QUERIES = (
    Query(),
    Query(providers=("github",)),
    Query(outcomes=("dead",)),
    Query(types=("a.*",), failures=True),
    Query(event_id="evt_1"),
    Query(min_ms=5),
)

ENTRIES = st.builds(
    lambda number, provider, outcome, kind, event, ms: entry(
        number, provider=provider, outcome=outcome, type=kind, event_id=f"evt_{event}", ms=ms
    ),
    st.integers(0, 40),
    st.sampled_from(["stripe", "github"]),
    st.sampled_from(["accepted", "dead"]),
    st.sampled_from(["a.b", "c"]),
    st.integers(0, 3),
    st.sampled_from([1.0, 9.0]),
)
STEPS = st.lists(
    st.one_of(st.lists(ENTRIES, min_size=1, max_size=12), st.just("seal"), st.just("page")), max_size=12
)


@given(STEPS, st.sampled_from(QUERIES), st.integers(1, 5), st.sampled_from([0.0, 60.0]))
@settings(max_examples=60)
def test_each_entry_is_on_one_page(steps: list[object], query: Query, limit: int, budget: float) -> None:
    """Those that were there when paging began, each once, newest first; later ones at most once."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for module in (sealed, open_reader):
            patch.setattr(module, "CHUNK", 3)  # so that a search stops within a segment
        journal = SqliteJournal(Path(folder), Limits(segment_entries=10))
        twin = MemoryJournal()
        try:
            _walk(journal, twin, steps, query, limit, budget)
        finally:
            journal.close()


def _walk(
    journal: Intake, twin: Intake, steps: list[object], query: Query, limit: int, budget: float
) -> None:
    for step in steps:  # what is there at the beginning
        _take(journal, twin, step)
    expected = twin.find(query, limit=10_000).entries
    assert journal.find(query, limit=10_000, budget=60).entries == expected

    found = []
    before = None
    late = iter([*steps, *steps])
    while True:
        page = journal.find(query, before=before, limit=limit, budget=budget)
        found += page.entries
        if page.next is None:
            break
        assert before is None or page.next < before
        before = page.next
        _take(journal, twin, _later(next(late, None)))
    ids = [each.id for each in found]
    assert ids == sorted(set(ids), reverse=True)
    assert {each.id for each in expected} <= set(ids)

    arrived, position = [], 0
    while True:
        more = journal.follow(query, position, limit)
        arrived += more.entries
        if more.position == position:
            break
        position = more.position
    assert sorted(each.id for each in arrived) == [
        each.id for each in twin.find(query, limit=10_000).entries[::-1]
    ]


def _take(journal: Intake, twin: Intake, step: object) -> None:
    if step == "seal":
        journal.close_full(NOW)
    elif isinstance(step, list):
        assert journal.append(step) == twin.append(step)


def _later(step: object) -> object:
    """Return a step with other entries, near the same moments."""
    if isinstance(step, list):
        return [entry(int(each.at - NOW + 3600), gateway="later", event_id=each.event_id) for each in step]
    return step
