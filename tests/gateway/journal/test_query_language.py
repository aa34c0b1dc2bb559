"""The language of queries: what it understands, what it refuses and how, and that text and query agree."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.entry import Kind
from gateway.journal.query import Query
from gateway.journal.query_language import (
    MAX_QUERY,
    QueryError,
    format_query,
    keys_of,
    parse_query,
    without,
)

NOW = 1_796_040_000.0
"""2026-11-30 12:00:00 UTC."""

MIDNIGHT_OF_21 = NOW - 9.5 * 86_400.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Query()),
        ("   ", Query()),
        ("evt_1", Query(text="evt_1")),
        ('"arn:aws:sns:1"', Query(text="arn:aws:sns:1")),
        ('"a \\"quoted\\" id"', Query(text='a "quoted" id')),
        ("id:evt:1", Query(event_id="evt:1")),
        ("provider:stripe,github", Query(providers=("stripe", "github"))),
        ("provider:stripe PROVIDER:github provider:stripe", Query(providers=("stripe", "github"))),
        ("type:invoice.* type:orders/create", Query(types=("invoice.*", "orders/create"))),
        ("outcome:dead,handled", Query(outcomes=("dead", "handled"))),
        ("outcome:dead_lettered", Query(outcomes=("dead",))),
        ("outcome:an_action_of_tomorrow", Query(outcomes=("an_action_of_tomorrow",))),
        ("reason:timeout queue:billing-agent", Query(reasons=("timeout",), queues=("billing-agent",))),
        ('reason:"a, b",c', Query(reasons=("a, b", "c"))),
        ("kind:received", Query(kinds=(Kind.RECEIVED,))),
        ('subject:"in 1" account:acct_1 actor:alice', Query(subject="in 1", account="acct_1", actor="alice")),
        ("secret:1 client:203.0.113.0/24", Query(slot=1, client="203.0.113.0/24")),
        ("client:2001:db8::1", Query(client="2001:db8::1")),
        ("ms:>500", Query(min_ms=500)),
        ("ms:<20.5", Query(max_ms=20.5)),
        ("ms:20..500", Query(min_ms=20, max_ms=500)),
        ("ms:20..", Query(min_ms=20)),
        ("since:2h", Query(since=NOW - 7200)),
        (
            "since:2026-11-21 until:2026-11-22T01:00:00+01:00",
            Query(since=MIDNIGHT_OF_21, until=MIDNIGHT_OF_21 + 86_400),
        ),
        ("since:1795953000", Query(since=1_795_953_000)),
        ("is:failed", Query(failures=True)),
        ("request:0000000000001", Query(request=1)),
    ],
)
def test_queries(text: str, expected: Query) -> None:
    """Each key, alone and together."""
    assert parse_query(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("provder:stripe", "unknown key provder:; did you mean provider:?"),
        ("arn:aws:sns", "An id that has a colon goes in quotes"),
        ("provider:", "provider: has no value"),
        ("provider:,", "provider: has an empty value"),
        ('provider:""', "provider: has an empty value"),
        ("outcome:handeld", "did you mean 'handled'?"),
        ("outcome:signature_mismatch", "write reason:signature_mismatch"),
        ("kind:recieved", "did you mean 'received'?"),
        ("kind:zzz", "there are received, published"),
        ("is:broken", "unknown state 'broken'"),
        ("evt_1 evt_2", "two ids"),
        ("id:a id:b", "id: twice"),
        ("ms:>1 ms:>2", "ms: twice"),
        ("ms:500", "ms: takes"),
        ("ms:..", "ms: takes"),
        ("secret:first", "secret: takes"),
        ("client:nowhere", "neither an address nor a network"),
        ("request:123", "is not the id of a request"),
        ("since:yesterday", "'yesterday' is not a time"),
        ("since:1h until:2h", "not before until"),
        ('"open', "not closed"),
        ('provider:"open', "not closed"),
        ('""', "no id"),
        ("x" * (MAX_QUERY + 1), "more than"),
        ("provider:" + ",".join(map(str, range(60))), "more than 50"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    """Each mistake is named in words, with what would be right."""
    with pytest.raises(QueryError, match=re.escape(expected)):
        parse_query(text, NOW)


def test_an_unknown_key_names_all_keys() -> None:
    """Who does not know the keys learns them."""
    with pytest.raises(QueryError, match="provider, type, outcome, reason, queue"):
        parse_query("colour:red", NOW)


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
_WORDS = st.lists(_TEXTS, max_size=3, unique=True).map(tuple)
_QUERIES = st.builds(
    Query,
    text=st.just("") | _TEXTS,
    kinds=st.lists(st.sampled_from(Kind), max_size=2, unique=True).map(tuple),
    providers=_WORDS,
    types=_WORDS,
    outcomes=st.lists(
        st.sampled_from(("handled", "dead", "accepted", "replayed")), max_size=2, unique=True
    ).map(tuple),
    reasons=_WORDS,
    queues=_WORDS,
    event_id=st.just("") | _TEXTS,
    subject=st.just("") | _TEXTS,
    account=st.just("") | _TEXTS,
    actor=st.just("") | _TEXTS,
    slot=st.none() | st.integers(0, 4),
    request=st.none() | st.integers(0, 2**63 - 1),
    min_ms=st.none() | st.integers(0, 10**8).map(float),
    max_ms=st.none() | st.integers(0, 10**8).map(float),
    since=st.none() | st.integers(10**9, int(NOW)).map(float),
    until=st.none() | st.integers(int(NOW), 3 * 10**9).map(lambda number: number + 0.125),
    failures=st.booleans(),
)


@given(_QUERIES)
def test_a_query_and_its_text_agree(query: Query) -> None:
    """Whatever the values are: what is written is read as the same."""
    text = format_query(query)
    if len(text) <= MAX_QUERY:
        assert parse_query(text, NOW) == query


@given(st.text(max_size=80))
def test_nothing_crashes_it(text: str) -> None:
    """Any text is a query or a mistake."""
    with suppress(QueryError):
        parse_query(text, NOW)


def test_conditions_can_be_dropped() -> None:
    """Each of those that are named, and nothing else."""
    query = parse_query("evt_1 provider:stripe secret:0 ms:1..2 is:failed since:1h", NOW)

    assert keys_of(query) == ["text", "provider", "secret", "ms", "since", "is"]
    for key in keys_of(query):
        assert keys_of(without(query, key)) == [each for each in keys_of(query) if each != key]
