"""Search as operators see it: what was found, how far back, and what to drop if nothing was."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.journal import Page, Point
from gateway.journal.entry import Kind
from gateway.journal.memory import MemoryJournal
from gateway.journal.query import Query
from gateway.journal.query_language import format_query, parse_query
from gateway.operations.event_steps import brief
from gateway.operations.search import histogram, search
from support.journal_entries import NOON, Story, journal_of


def _stories() -> MemoryJournal:
    stories = [Story(f"evt_{number}", provider) for number in range(3) for provider in ("stripe", "github")]
    for number, story in enumerate(stories):
        story.received("accepted" if number else "quarantined", after=number)
    return journal_of(*stories)


def test_pages_follow_each_other() -> None:
    """Each entry is on one page, newest first."""
    journal, found, before = _stories(), [], None
    for _ in range(3):
        result = search(journal, Query(), before=before, limit=2, now=NOON + 60)
        found += [entry.at for entry in result.entries]
        before = result.next

    assert before is None
    assert found == sorted(found, reverse=True)
    assert len(found) == 6
    assert result.headline == "2 entries."


def test_an_empty_journal_says_so() -> None:
    """No filter is to blame."""
    result = search(MemoryJournal(), parse_query("provider:stripe", NOON), now=NOON)

    assert result.headline == "The journal is empty: nothing has been received yet."
    assert not result.relaxations


def test_conditions_to_drop() -> None:
    """Those without which there is something, the most useful first."""
    query = parse_query("provider:stripe outcome:dead type:invoice.*", NOON)

    result = search(_stories(), query, now=NOON)

    assert result.headline == "Nothing matches provider:stripe type:invoice.* outcome:dead."
    assert [(each.key, each.found, format_query(each.query)) for each in result.relaxations] == [
        ("outcome", 3, "provider:stripe type:invoice.*")
    ]


def test_a_single_condition_has_nothing_to_drop() -> None:
    """Without it there would be everything, which nobody asked for."""
    assert not search(_stories(), parse_query("outcome:dead", NOON), now=NOON).relaxations


def test_an_incomplete_search_says_how_far_it_looked() -> None:
    """A page whose time was over claims nothing about what is before."""

    class Slow(MemoryJournal):
        def find(self, *_: object, **__: object) -> Page:
            return Page([], 7, NOON - 3600, is_complete=False)

    result = search(Slow(), Query(event_id="evt_9"), now=NOON)

    assert result.headline == "Nothing yet; looked back to 2026-11-30T11:00:00Z, 1 h ago."
    assert not result.relaxations


def test_histogram_has_no_gaps_and_names_what_it_ignores() -> None:
    """Bars come from the counters, which know neither types nor queues."""
    journal = MemoryJournal()
    for minute, outcome, times in ((1, "accepted", 5), (1, "invalid_signature", 2), (30, "accepted", 1)):
        journal.add_points([Point(NOON + 60 * minute, "stripe", f"outcome:{outcome}", times)])
    journal.add_points([Point(NOON + 60, "github", "outcome:accepted", 100)])
    query = parse_query("provider:stripe type:invoice.* since:1h", NOON + 3600)

    found = histogram(journal, query, now=NOON + 3600, bars=60)
    failed = histogram(journal, parse_query("is:failed since:1h", NOON + 3600), now=NOON + 3600, bars=60)

    assert found.ignored == ("type",)
    assert all(bar.until == later.at for bar, later in zip(found.bars, found.bars[1:], strict=False))
    assert [bar.counts for bar in found.bars if bar.counts] == [
        {"accepted": 5, "invalid_signature": 2},
        {"accepted": 1},
    ]
    assert [bar.counts for bar in failed.bars if bar.counts] == [{"invalid_signature": 2}]


@pytest.mark.parametrize(
    ("kind", "outcome", "more", "expected"),
    [
        (Kind.RECEIVED, "accepted", {"status": 202, "ms": 12.0}, "accepted, 202, 12 ms"),
        (Kind.RECEIVED, "accepted", {"reason": "spooled"}, "spooled"),
        (
            Kind.RECEIVED,
            "invalid_signature",
            {"reason": "signature_mismatch", "status": 401},
            "invalid signature: signature mismatch, 401",
        ),
        (Kind.RECEIVED, "quarantined", {"detail": "/total: type"}, "quarantined (/total: type)"),
        (
            Kind.HANDLED,
            "dead",
            {"queue": "q", "reason": "KeyError", "attempt": 8},
            "q: dead-lettered (KeyError), attempt 8",
        ),
        (Kind.HANDLED, "waiting", {"queue": "q"}, "q: deferred, out of order"),
        (Kind.DELIVERED, "failed", {"queue": "crm", "status": 500}, "crm: failed with 500"),
        (Kind.ACTION, "dropped", {"queue": "q.dead", "actor": "bob"}, "Dropped from q.dead by bob"),
        (Kind.HANDLED, "handled", {"queue": "q", "attempt": 2}, "q: handled, attempt 2"),
    ],
)
def test_an_entry_in_a_few_words(kind: Kind, outcome: str, more: dict[str, Any], expected: str) -> None:
    """A list has the provider, the type and the id in columns of their own."""
    assert brief(Story().add(kind, outcome, **more)) == expected
