"""What every journal does: in memory, in SQLite and in PostgreSQL."""

from __future__ import annotations

import random
import threading
import time
from itertools import pairwise

import msgspec
import pytest

from gateway.errors import Outcome
from gateway.journal import Point
from gateway.journal.entry import MAX_DETAIL, MAX_TEXT, Entry, Kind, first_id_at
from gateway.journal.intake import Batch, Intake, Position, Positions
from gateway.journal.query import Query
from support.journals import NOW, entries, entry, full_entry

from .conftest import MakeJournal

ALL = Query()


def fill(journal: Intake, added: list[Entry], step: int = 25) -> None:
    """Add entries in small batches, so that a journal with segments has several."""
    for start in range(0, len(added), step):
        journal.append(added[start : start + step])
        journal.close_full(time.time())


def ids(found: list[Entry]) -> list[int]:
    """Return the ids of entries."""
    return [each.id for each in found]


def pages(journal: Intake, query: Query, limit: int, budget: float = 60.0) -> list[Entry]:
    """Return all entries, page by page."""
    found: list[Entry] = []
    before = None
    while True:
        page = journal.find(query, before=before, limit=limit, budget=budget)
        assert len(page.entries) <= limit
        found += page.entries
        assert page.is_complete == (page.next is None)
        if page.next is None:
            return found
        assert before is None or page.next < before
        before = page.next


def arrivals(journal: Intake, query: Query, after: int = 0, limit: int = 7) -> list[Entry]:
    """Return all entries in the order of arrival."""
    found: list[Entry] = []
    while True:
        page = journal.follow(query, after, limit)
        found += page.entries
        if page.position == after:
            return found
        after = page.position


def test_an_empty_journal_answers(journal: Intake) -> None:
    """Nothing is there, and nothing is wrong."""
    page = journal.find(ALL)

    assert (page.entries, page.next, page.searched_until, page.is_complete) == ([], None, None, True)
    assert journal.follow(ALL, 0).entries == []
    assert journal.position() == 0
    assert journal.timeline("evt_1") == []
    assert journal.points("", 0, NOW, 60) == []
    assert journal.forget("evt_1") == 0
    assert journal.sealed_positions() == {}
    assert not journal.close_full(NOW)
    state = journal.state()
    assert (state.entries, state.begins_at, state.unindexed, state.unreadable, state.corrupt) == (
        0,
        None,
        0,
        0,
        (),
    )
    journal.prune(NOW)


def test_an_entry_comes_back_as_it_was(journal: Intake) -> None:
    """Every field, whatever is in it."""
    least = Entry(first_id_at(NOW) + 1, Kind.ACTION, "replayed")
    added = [full_entry(), least]

    journal.append(added)

    assert journal.find(ALL, budget=60).entries == added[::-1]
    assert journal.find(ALL, budget=60).entries[1].at == NOW


def test_another_process_sees_what_was_added(make_journal: MakeJournal) -> None:
    """At once."""
    reader = make_journal()
    assert reader.find(ALL).entries == []

    fill(make_journal(), entries(100))

    assert len(reader.find(ALL, limit=200, budget=60).entries) == 100
    assert reader.state().entries == 100


def test_texts_and_numbers_are_bounded(journal: Intake) -> None:
    """Whatever a process or a worker reports: too long, not to be encoded, too large."""
    hostile = entry(
        1,
        event_id="ü" * 300,
        summary="\0 and \ud800",
        detail="x" * 10_000,
        outcome=Outcome.ACCEPTED,
        size=2**70,
        status=-(2**80),
        ms=1e300,
        age=1.26,
        request=-1,
        trace="ABC",
    )

    assert journal.append([hostile, entry(2, id=2**63), entry(3, id=0)]) == 1

    (found,) = journal.find(ALL, budget=60).entries
    assert found.event_id == "ü" * (MAX_TEXT // 2)
    assert found.summary == "\ufffd and ?"
    assert len(found.detail) == MAX_DETAIL
    assert (found.size, found.status, found.ms, found.age, found.request) == (None, None, None, 1.3, None)
    assert (found.trace, found.outcome) == ("ABC", "accepted")
    assert journal.timeline("ü" * 300) == [found]


def test_pages_are_newest_first(journal: Intake) -> None:
    """Across segments, in any order of arrival."""
    added = entries(230)
    shuffled = random.Random(1).sample(added, len(added))

    fill(journal, shuffled)

    assert pages(journal, ALL, 50) == added[::-1]
    assert pages(journal, ALL, 1) == added[::-1]
    assert pages(journal, ALL, 230) == added[::-1]
    first = journal.find(ALL, limit=10, budget=60)
    assert first.next == added[-10].id
    assert first.searched_until == added[-10].at


def test_a_search_without_time_gets_further_all_the_same(journal: Intake) -> None:
    """Each page says how far back it has looked; together they have each entry once."""
    added = entries(230)
    fill(journal, random.Random(2).sample(added, len(added)))

    assert pages(journal, ALL, 50, budget=0.0) == added[::-1]
    assert pages(journal, Query(subject="none"), 50, budget=0.0) == []
    assert pages(journal, Query(min_ms=1), 50, budget=0.0) == []


QUERIES: list[tuple[Query, list[int]]] = [
    (Query(kinds=("handled",)), [3]),
    (Query(providers=("github", "slack")), [2, 4]),
    (Query(providers=("github",), outcomes=("invalid_signature",)), [2]),
    (Query(providers=("nobody",)), []),
    (Query(types=("invoice.*",)), [0, 1, 3]),
    (Query(types=("issue.#",)), [2]),
    (Query(types=("issues/opened", "issue/opened")), [2]),
    (Query(types=("#",)), [0, 1, 2, 3]),
    (Query(types=("*",)), []),
    (Query(outcomes=("accepted", "quarantined")), [0, 1]),
    (Query(failures=True), [1, 2, 3]),
    (Query(failures=True, outcomes=("accepted",)), []),
    (Query(reasons=("no_match",)), [2]),
    (Query(queues=("billing",)), [3]),
    (Query(event_id="evt_0"), [0, 3]),
    (Query(subject="in_1"), [1]),
    (Query(account="acct_1"), [1, 3]),
    (Query(text="evt_0"), [0, 3]),
    (Query(text="acct_1"), [1, 3]),
    (Query(text="in_1"), [1]),
    (Query(text="0af7651916cd43dd8448eb211c80319c"), [3]),
    (Query(text="nothing"), []),
    (Query(slot=1), [1]),
    (Query(client="203.0.113.7"), [0]),
    (Query(client="203.0.0.0/16"), [0, 1]),
    (Query(client="2001:db8::/32"), [2]),
    (Query(client="elsewhere"), []),
    (Query(actor="anna"), [4]),
    (Query(min_ms=10), [1, 3]),
    (Query(min_ms=10, max_ms=100), [1]),
    (Query(since=NOW - 3600 + 2), [2, 3, 4]),
    (Query(until=NOW - 3600 + 2), [0, 1]),
    (Query(since=NOW - 3600 + 1, until=NOW - 3600 + 3), [1, 2]),
    (Query(providers=("stripe",), failures=True, since=NOW - 3600 + 2), [3]),
    (Query(request=first_id_at(NOW - 3600)), [0, 1]),
    (ALL, [0, 1, 2, 3, 4]),
]


SELECTION = [
    entry(0, client="203.0.113.0/24", ms=1.5),
    entry(
        1,
        outcome="quarantined",
        subject="in_1",
        account="acct_1",
        slot=1,
        ms=20.0,
        client="203.0.200.0/24",
        request=first_id_at(NOW - 3600),
    ),
    entry(
        2,
        provider="github",
        type="issue.opened",
        outcome="invalid_signature",
        reason="no_match",
        event_id="",
        client="2001:db8:1::/48",
    ),
    entry(
        3,
        kind=Kind.HANDLED,
        outcome="dead",
        event_id="evt_0",
        account="acct_1",
        queue="billing",
        ms=200.0,
        trace="0af7651916cd43dd8448eb211c80319c",
    ),
    entry(4, kind=Kind.ACTION, outcome="replayed", provider="slack", type="", actor="anna", event_id=""),
]


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
def test_conditions(journal: Intake, sealed: bool) -> None:
    """Each finds what it should, in the segment that is written to and in one that has indexes."""
    journal.append(SELECTION)
    if sealed:
        # An old segment is sealed, however few entries are in it; the other journals have none.
        journal.close_full(time.time() + 100_000)

    for query, expected in QUERIES:
        found = journal.find(query, budget=60)
        assert ids(found.entries) == ids([SELECTION[each] for each in reversed(expected)]), query
        assert found.is_complete
        assert ids(arrivals(journal, query)) == ids([SELECTION[each] for each in expected]), query
        assert pages(journal, query, 1) == found.entries


def test_a_timeline_is_oldest_first(journal: Intake) -> None:
    """Of all segments, of one provider or of all."""
    added = entries(150)
    mine = [
        entry(200 + each, event_id="evt_7", provider=provider)
        for each, provider in enumerate(["stripe", "github", "stripe"])
    ]
    fill(journal, [*mine[:1], *added[50:], *mine[1:], *added[:50]])

    assert journal.timeline("evt_7") == [added[7], *mine]
    assert journal.timeline("evt_7", "github") == [mine[1]]


def test_an_entry_is_added_once(journal: Intake) -> None:
    """A report that comes twice, at once or days later."""
    added = entries(100)

    assert journal.append([*added, *added]) == 100
    fill(journal, added)
    assert journal.append(added) == 0

    assert journal.find(ALL, limit=500, budget=60).entries == added[::-1]
    assert arrivals(journal, ALL) == added


def test_two_entries_with_one_id_are_both_kept(journal: Intake) -> None:
    """Two gateways, or a worker elsewhere, may make the same id. Cursors stay exact, repetitions stay out."""
    mine = entries(90)
    others = [msgspec.structs.replace(each, gateway="other") for each in mine]
    third = [msgspec.structs.replace(each, gateway="third") for each in mine]

    fill(journal, mine)
    fill(journal, [*others, *third])
    fill(journal, [*third, *mine, *others])

    found = pages(journal, ALL, 7)
    assert len(found) == len(set(ids(found))) == 270
    assert sorted(each.gateway for each in found) == [""] * 90 + ["other"] * 90 + ["third"] * 90
    assert all(one.id > other.id for one, other in pairwise(found))


def test_followers_get_what_comes_late(journal: Intake) -> None:
    """The order of arrival, not of ids: a clock that goes back, another process, a worker's report."""
    fill(journal, entries(60))
    position = journal.position()

    late = [entry(30, gateway="late"), entry(500), entry(10, provider="github", event_id="other")]
    journal.append(late)

    found = journal.follow(ALL, position)
    assert sorted(each.gateway or each.event_id for each in found.entries) == ["evt_500", "late", "other"]
    assert {each.id for each in found.entries} == {late[0].id + 1, late[1].id, late[2].id + 1}
    assert found.position == journal.position()
    assert journal.follow(ALL, found.position).entries == []
    assert len(arrivals(journal, Query(providers=("github",)), position)) == 1


def test_followers_lose_nothing_while_segments_are_sealed(make_journal: MakeJournal) -> None:
    """Each entry once, while another thread adds and seals."""
    writer, reader = make_journal(), make_journal()
    added = entries(400)
    thread = threading.Thread(target=fill, args=(writer, added))
    thread.start()

    found: list[Entry] = []
    position = 0
    while thread.is_alive() or position < writer.position():
        page = reader.follow(ALL, position, 30)
        found += page.entries
        position = page.position
    thread.join()

    assert found == added


def test_batches_and_positions_are_one(journal: Intake) -> None:
    """If reading fails nothing is there; else both are."""

    def fail(_: Positions) -> Batch:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        journal.take(fail)
    journal.take(lambda _: Batch(entries(10), {"0-1": Position(7, 100), "0-2": Position(8, 5)}, 3))

    seen: list[Positions] = []

    def look(positions: Positions) -> Batch:
        seen.append(positions)
        return Batch(entries(20)[10:], {"0-1": Position(2**63 + 5, 200)}, 1, ["0-2"])

    journal.take(look)

    assert seen == [{"0-1": Position(7, 100), "0-2": Position(8, 5)}]
    journal.take(look)
    assert seen[1:] == [{"0-1": Position(2**63 + 5, 200)}]
    assert len(journal.find(ALL, budget=60).entries) == 20
    assert journal.state().unreadable == 5


def test_points_are_summed(journal: Intake) -> None:
    """By minute, hour or longer, of one provider or of each; gauges are not summed."""
    hour = NOW // 3600 * 3600 - 7200
    journal.add_points(
        [
            Point(hour + 1, "stripe", "outcome:accepted", 2),
            Point(hour + 59, "stripe", "outcome:accepted", 3),
            Point(hour + 61, "stripe", "outcome:accepted", 4),
            Point(hour + 61, "github", "outcome:accepted", 1),
            Point(hour + 3700, "stripe", "outcome:duplicate", 1),
            Point(hour + 5, "stripe", "latency_sum", 0.25),
            Point(hour + 5, "", "gauge:spooled", 7),
        ]
    )
    journal.add_points(
        [Point(hour + 50, "", "gauge:spooled", 3), Point(hour + 2, "stripe", "latency_sum", 0.5)]
    )

    def points(measures: str, step: float, provider: str | None = None) -> list[Point]:
        return journal.points(measures, hour, hour + 7200, step, provider)

    assert points("outcome:", 60) == [
        Point(hour, "stripe", "outcome:accepted", 5),
        Point(hour + 60, "github", "outcome:accepted", 1),
        Point(hour + 60, "stripe", "outcome:accepted", 4),
        Point(hour + 3660, "stripe", "outcome:duplicate", 1),
    ]
    assert points("outcome:", 3600) == [
        Point(hour, "github", "outcome:accepted", 1),
        Point(hour, "stripe", "outcome:accepted", 9),
        Point(hour + 3600, "stripe", "outcome:duplicate", 1),
    ]
    assert points("outcome:accepted", 120, "github") == [Point(hour, "github", "outcome:accepted", 1)]
    assert points("latency", 60) == [Point(hour, "stripe", "latency_sum", 0.75)]
    assert points("gauge:", 60, "") == [Point(hour, "", "gauge:spooled", 3)]
    assert points("", 60, "nobody") == []
    assert journal.points("outcome:", hour + 60, hour + 120, 60) == points("outcome:", 60)[1:3]


def test_an_event_is_forgotten(journal: Intake) -> None:
    """Its texts are gone, that something happened stays, and a repeated report does not bring them back."""
    secret = {
        "subject": "Erika Mustermann",
        "account": "acct_erika",
        "summary": "Erika paid",
        "detail": "at erika",
    }
    hers = [
        entry(each, event_id="evt_erika", client="198.51.100.0/24", trace="ab" * 16, **secret)
        for each in (5, 50, 95)
    ]
    github = entry(300, event_id="evt_erika", provider="github")
    fill(journal, [*entries(100), *hers, github])

    assert journal.forget("evt_erika", "stripe") == 3
    assert journal.forget("evt_erika", "stripe") == 0

    assert journal.timeline("evt_erika") == [github]
    assert journal.find(Query(text="Erika Mustermann")).entries == []
    assert journal.state().entries == 104
    assert "rika" not in str([each for each in pages(journal, ALL, 100) if each != github])
    journal.append([each for each in pages(journal, ALL, 100) if each != github])
    assert journal.state().entries == 104
    assert journal.forget("evt_erika") == 1


def test_what_is_too_old_goes(journal: Intake) -> None:
    """Whole segments or days at a time; what is not too old stays."""
    old = [entry(-86_400 * 40 + each) for each in range(50)]
    journal.append(old)
    journal.close_full(time.time() + 100_000)
    journal.append(entries(10))

    journal.prune(time.time())

    assert ids(journal.find(ALL, limit=500, budget=60).entries) == ids(entries(10)[::-1])
    begins_at = journal.state().begins_at
    assert begins_at == entry(0).at
    assert arrivals(journal, ALL) == entries(10)


def test_old_minutes_become_hours(journal: Intake) -> None:
    """Of what is older than two weeks only hours are left, of what is older than 400 days nothing."""
    day = 86_400
    hour = NOW // 3600 * 3600
    moments = [
        hour - 500 * day,
        hour - 20 * day,
        hour - 20 * day + 120,
        hour - 13 * day,
        hour - 13 * day + 60,
    ]
    journal.add_points([Point(at, "stripe", "outcome:accepted", 1) for at in moments])

    journal.prune(NOW)

    by_day = journal.points("outcome:", 0, NOW, day)
    assert [point.times for point in by_day] == [2, 2]
    assert sum(point.times for point in journal.points("outcome:", 0, NOW, 60)) == 4
    recent = journal.points("outcome:", hour - 13 * day, NOW, 60)
    assert [point.times for point in recent] == [1, 1]
