"""Which endpoints want an event: patterns as topic exchanges match them, and conditions on the event."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outbound.matching import Match, Matcher, order_key
from gateway.outbound.models import Endpoint, Subscription
from gateway.transport.topic_patterns import matches

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "subject": "in_42",
    "data": {
        "status": "failed",
        "usage": {"cost_usd": 1.5, "tokens": 0},
        "live": True,
        "note": None,
        "tags": ["a", "b"],
        "a/b": {"~": 1},
        "": "empty",
    },
}


def endpoint(name: str, *subscriptions: str | dict[str, Any]) -> Endpoint:
    """An endpoint with these subscriptions; a text is a pattern, and one object of conditions needs no list."""
    made = []
    for each in subscriptions:
        settings: dict[str, Any] = {"events": each} if isinstance(each, str) else each
        events, where = settings["events"], settings.get("where", ())
        made.append(
            Subscription(
                events=(events,) if isinstance(events, str) else tuple(events),
                where=(where,) if isinstance(where, dict) else tuple(where),
            )
        )
    return Endpoint(id=name, url="https://hooks.acme.dev/", subscriptions=tuple(made))


def names(matcher: Matcher, key: str, event: object = EVENT) -> list[str]:
    """The endpoints that want an event."""
    return [match.endpoint.id for match in matcher.match("default", key, lambda: event)]


@pytest.mark.parametrize(
    ("pattern", "key", "is_wanted"),
    [
        ("stripe.invoice.paid", "stripe.invoice.paid", True),
        ("stripe.invoice.*", "stripe.invoice.paid", True),
        ("stripe.*", "stripe.invoice.paid", False),
        ("stripe.#", "stripe.invoice.paid", True),
        ("stripe.#", "stripe", True),
        ("#", "stripe.invoice.paid", True),
        ("#.paid", "stripe.invoice.paid", True),
        ("#.paid", "paid", True),
        ("#.invoice.#", "stripe.invoice.paid", True),
        ("*.#.paid", "stripe.paid", True),
        ("*.*.#.paid", "stripe.paid", False),
        ("github.*", "stripe.paid", False),
        ("shopify.orders/create", "shopify.orders.create", True),
        ("billing-agent.agent.run.#", "billing-agent.agent.run.completed", True),
    ],
)
def test_patterns_are_those_of_topic_exchanges(pattern: str, key: str, is_wanted: bool) -> None:
    """A provider's own spelling is understood, too."""
    assert names(Matcher([endpoint("a", pattern)]), key) == (["a"] if is_wanted else [])


WORDS = st.sampled_from(["a", "b", "c", "*", "#"])
PATTERNS = st.lists(WORDS, min_size=1, max_size=6).map(".".join)
KEYS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6).map(".".join)


@given(st.lists(PATTERNS, min_size=1, max_size=12), KEYS)
def test_the_tree_finds_what_single_comparisons_find(patterns: list[str], key: str) -> None:
    """Whatever the patterns are, and however many."""
    matcher = Matcher([endpoint(str(number), pattern) for number, pattern in enumerate(patterns)])

    assert names(matcher, key) == [
        str(number) for number, pattern in enumerate(patterns) if matches(pattern, key)
    ]


@given(st.lists(PATTERNS, min_size=1, max_size=8), KEYS)
def test_the_first_subscription_that_matches_decides(patterns: list[str], key: str) -> None:
    """An endpoint is found once, however many of its subscriptions match."""
    found = Matcher([endpoint("a", *patterns)]).match("default", key, lambda: EVENT)
    wanted = [pattern for pattern in patterns if matches(pattern, key)]

    assert [match.subscription.events for match in found] == [(pattern,) for pattern in wanted[:1]]


def test_patterns_with_many_wildcards_end_soon() -> None:
    """The number of ways through them does not matter, or this would not end."""
    pattern = ".".join(["#", "a"] * 30)

    assert names(Matcher([endpoint("a", pattern)]), ".".join(["a"] * 120)) == ["a"]
    assert names(Matcher([endpoint("a", pattern)]), ".".join(["a"] * 119 + ["b"])) == []


def test_a_subscription_whose_conditions_fail_leaves_it_to_the_next() -> None:
    """In order."""
    both = endpoint(
        "a",
        {"events": "stripe.#", "where": {"/data/status": {"eq": "paid"}}},
        {"events": ["github.#", "stripe.#"]},
    )
    (match,) = Matcher([both]).match("default", "stripe.x", lambda: EVENT)

    assert match == Match(both, both.subscriptions[1])


def test_an_event_is_for_the_endpoints_of_its_tenant() -> None:
    """However wide their patterns are."""
    everywhere = [
        Endpoint(
            id=tenant,
            tenant=tenant,
            url="https://hooks.acme.dev/",
            subscriptions=(Subscription(events=("#",)),),
        )
        for tenant in ("default", "acme", "other")
    ]
    matcher = Matcher(everywhere)

    for tenant in ("default", "acme", "other"):
        assert [match.endpoint.id for match in matcher.match(tenant, "a.b", dict)] == [tenant]
    assert matcher.match("nobody", "a.b", dict) == []


def test_diagnostic_events_are_for_those_who_ask_for_them() -> None:
    """Everything else is not everything."""
    matcher = Matcher(
        [
            endpoint("all", "#"),
            endpoint("agent", "billing.#", "*.agent.#"),
            endpoint("asks", "*.agent.diagnostic.#"),
        ]
    )

    assert names(matcher, "billing.agent.diagnostic.trace") == ["asks"]
    assert names(matcher, "billing.agent.run.completed") == ["all", "agent"]


@pytest.mark.parametrize(
    ("pointer", "comparison", "holds"),
    [
        ("/data/status", {"eq": "failed"}, True),
        ("/data/status", {"eq": "Failed"}, False),
        ("/data/status", {"ne": "paid"}, True),
        ("/data/status", {"in": ["paid", "failed"]}, True),
        ("/data/status", {"not_in": ["paid"]}, True),
        ("/data/status", {"prefix": "fai"}, True),
        ("/data/status", {"prefix": "x"}, False),
        ("/data/status", {"gte": "failed", "lt": "g"}, True),
        ("/data/status", {"gt": 1}, False),
        ("/data/usage/cost_usd", {"gte": 1, "lte": 1.5}, True),
        ("/data/usage/cost_usd", {"gt": 1.5}, False),
        ("/data/usage/cost_usd", {"prefix": "1"}, False),
        ("/data/usage/tokens", {"eq": 0}, True),
        ("/data/usage/tokens", {"eq": 0.0}, True),
        ("/data/usage/tokens", {"eq": False}, False),
        ("/data/live", {"eq": True}, True),
        ("/data/live", {"eq": 1}, False),
        ("/data/live", {"gte": 0}, False),
        ("/data/note", {"eq": None}, True),
        ("/data/note", {"exists": True}, True),
        ("/data/tags/1", {"eq": "b"}, True),
        ("/data/tags/2", {"exists": True}, False),
        ("/data/tags/01", {"exists": True}, False),
        ("/data/tags", {"eq": "a"}, False),
        ("/data/tags", {"ne": "a"}, True),
        ("/data/a~1b/~0", {"eq": 1}, True),
        ("/data/", {"eq": "empty"}, True),
        ("/nothing/at/all", {"exists": False}, True),
        ("/nothing", {"ne": "x", "not_in": ["x"]}, True),
        ("/nothing", {"eq": None}, False),
        ("/nothing", {"in": [None, "x"]}, False),
        ("/nothing", {"lt": 5}, False),
    ],
)
def test_conditions(pointer: str, comparison: dict[str, Any], holds: bool) -> None:
    """Types are JSON's; where there is nothing, only the negations hold."""
    wanted = endpoint("a", {"events": "#", "where": {pointer: comparison}})

    assert names(Matcher([wanted]), "x") == (["a"] if holds else [])


@pytest.mark.parametrize(
    "event", [None, [], 1, "text", {}, {"data": None}, {"data": []}, {"data": {"status": {}}}]
)
def test_events_of_any_form_are_compared(event: object) -> None:
    """What is not there is not equal to anything."""
    wanted = endpoint("a", {"events": "#", "where": {"/data/status": {"eq": "x"}}})
    unwanted = endpoint("b", {"events": "#", "where": {"/data/status": {"ne": "x"}}})

    assert names(Matcher([wanted, unwanted]), "x", event) == ["b"]


@pytest.mark.parametrize(
    ("where", "is_wanted"),
    [
        ({"/data/status": {"eq": "failed"}, "/data/live": {"eq": False}}, False),
        ([{"/data/status": {"eq": "failed"}}, {"/data/live": {"eq": False}}], True),
        ([{"/data/status": {"eq": "x"}}, {"/data/live": {"eq": False}}], False),
        ({}, True),
        ([], True),
        ([{"/data/status": {"eq": "x"}}, {}], True),
    ],
)
def test_all_of_an_object_and_any_of_a_list(where: object, is_wanted: bool) -> None:
    """As the contract has it."""
    wanted = endpoint("a", {"events": "#", "where": where})

    assert names(Matcher([wanted]), "x") == (["a"] if is_wanted else [])


def test_an_event_is_parsed_once_and_only_if_it_has_to_be() -> None:
    """Most endpoints have no conditions."""
    parsed = []

    def event() -> object:
        parsed.append(1)
        return EVENT

    condition = {"events": "stripe.#", "where": {"/data/status": {"eq": "failed"}}}
    matcher = Matcher([endpoint("a", "#"), *(endpoint(str(number), condition) for number in range(5))])

    assert len(matcher.match("default", "github.x", event)) == 1
    assert not parsed
    assert len(matcher.match("default", "stripe.x", event)) == 6
    assert len(parsed) == 1


def test_ten_thousand_endpoints_cost_no_more_than_a_hundred() -> None:
    """An event costs what wants it. Calls of functions are counted, which are the same on every machine."""
    few, many = (
        Matcher(
            [endpoint(str(number), f"tenant-{number}.#", f"*.invoice.t{number}") for number in range(count)]
        )
        for count in (100, 10_000)
    )

    assert names(many, "tenant-7.invoice.t9") == ["7", "9"]
    assert _calls(lambda: many.match("default", "tenant-7.invoice.t9", dict)) == _calls(
        lambda: few.match("default", "tenant-7.invoice.t9", dict)
    )


def _calls(run: Callable[[], object]) -> int:
    """The calls of a run; the least of several, since the garbage collector may call in between."""
    return min(_calls_once(run) for _ in range(5))


def _calls_once(run: Callable[[], object]) -> int:
    calls = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("none", ""),
        ("subject", "in_42"),
        ("/data/status", "failed"),
        ("/data/usage/tokens", "0"),
        ("/data/live", "true"),
        ("/data/note", ""),
        ("/data/usage", ""),
        ("/nothing", ""),
    ],
)
def test_the_key_of_an_order(order: str, key: str) -> None:
    """An event without one has no order."""
    assert order_key(order, "in_42", lambda: EVENT) == key
