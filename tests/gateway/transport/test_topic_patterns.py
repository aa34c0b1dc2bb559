"""Patterns of topic exchanges mean here what they mean in RabbitMQ; the empty key, which no event has, aside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable

import aio_pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.pattern_tree import PatternTree
from gateway.transport.topic_patterns import key_pattern, key_segment, matches, routing_pattern
from support.waiting import wait_until_async

PATTERNS = (
    "#",
    "*",
    "*.*",
    "a",
    "a.b",
    "a.*",
    "a.#",
    "#.b",
    "*.b",
    "a.#.c",
    "#.a.#",
    "*.#",
    "#.*",
    "a.*.c",
    "#.#",
    "",
    "a..c",
)
KEYS = (
    "a",
    "b",
    "a.b",
    "a.c",
    "b.b",
    "a.b.c",
    "a.b.b.c",
    "a..c",
    "a.",
    ".a",
    "x.a.y",
    "a-b",
    "ab",
    "a.bb",
    "..",
)


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("#", "a.b.c", True),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("a.#", "ab", False),
        ("a.*", "a", False),
        ("a.*", "a.", True),
        ("#.b", "b", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("pull_request.*", "pull_request.opened", True),
        ("pull_request.*", "pull_request_review.opened", False),
        ("a+b", "aab", False),
        ("a.b", "a.b\n", False),
    ],
)
def test_what_matches(pattern: str, key: str, expected: bool) -> None:
    """One word for a star, any number of them for a hash."""
    assert expected is matches(pattern, key)


def awaitable(condition: Callable[[], Awaitable[bool]]) -> Callable[[], bool | Awaitable[bool]]:
    """The condition, of the type that it is waited for."""
    return condition


async def test_rabbitmq_agrees(rabbitmq_url: str) -> None:
    """Every one of these patterns with every one of these keys."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("topics", aio_pika.ExchangeType.TOPIC)
        queues = {pattern: await channel.declare_queue(exclusive=True) for pattern in PATTERNS}
        for pattern, queue in queues.items():
            await queue.bind(exchange, pattern)
        for key in KEYS:
            await exchange.publish(aio_pika.Message(key.encode()), key, mandatory=False)
        await exchange.publish(aio_pika.Message(b"last"), "last", mandatory=False)
        last = await channel.declare_queue(exclusive=True)
        await last.bind(exchange, "#")
        await exchange.publish(aio_pika.Message(b"last"), "last", mandatory=False)

        async def has_arrived() -> bool:
            return await last.get(no_ack=True, fail=False) is not None

        await wait_until_async(awaitable(has_arrived), message="all has been routed")
        found = {}
        for pattern, queue in queues.items():
            bodies = set()
            while message := await queue.get(no_ack=True, fail=False):
                bodies.add(message.body.decode())
            found[pattern] = bodies - {"last"}

    assert {pattern: {key for key in KEYS if matches(pattern, key)} for pattern in PATTERNS} == found


def naive(pattern: list[str], key: list[str]) -> bool:
    """The definition, word by word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return naive(pattern[1:], key) or (bool(key) and naive(pattern, key[1:]))
    return bool(key) and pattern[0] in ("*", key[0]) and naive(pattern[1:], key[1:])


WORDS = st.lists(st.sampled_from(["a", "b", "a+", "(", "\\", "-"]), min_size=1, max_size=6)


@given(st.lists(st.sampled_from(["a", "b", "*", "#", "a+", "("]), min_size=1, max_size=6), WORDS)
def test_any_pattern_means_what_its_definition_says(pattern: list[str], key: list[str]) -> None:
    """Characters that mean something in regular expressions mean nothing here."""
    assert naive(pattern, key) is matches(".".join(pattern), ".".join(key))


def test_a_tree_of_patterns_finds_what_single_comparisons_find() -> None:
    """As often as it was added, also where several ways lead through a pattern."""
    tree: PatternTree[str] = PatternTree()
    for pattern in (*PATTERNS, *PATTERNS, "#.a.#.a.#"):
        tree.add(pattern, pattern)

    for key in KEYS:
        found = Counter(tree.find(key))
        assert found == {pattern: 2 for pattern in PATTERNS if matches(pattern, key)}, key
    assert Counter(tree.find("a.a.a"))["#.a.#.a.#"] == 1


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("invoice.*", "invoice.*"),
        ("#", "#"),
        ("*.*", "*.*"),
        ("orders/create", "orders.create"),
        ("orders/*", "orders.*"),
        ("orders/#", "orders.#"),
        ("Order Created", "Order.Created"),
        ("a..b", "a.b"),
        ("a*b", "a.b"),
        ("v2.core.account[configuration.merchant].*", "v2.core.account.configuration.merchant.*"),
        ("\u8ba2\u5355", "x-3d5436ea23d2"),
    ],
)
def test_a_pattern_may_be_written_as_its_sender_spells_its_events(pattern: str, expected: str) -> None:
    """Wildcards are those that stand alone between what separates words."""
    assert key_pattern(pattern) == expected
    assert routing_pattern(f"acme.{pattern}") == f"acme.{expected}"
    assert routing_pattern(f"*.{pattern}") == f"*.{expected}"


@pytest.mark.parametrize("pattern", ["#", "*", "acme"])
def test_a_pattern_of_one_word_is_of_providers(pattern: str) -> None:
    """There is no event type in it."""
    assert routing_pattern(pattern) == pattern


EVENT_TYPES = st.text(min_size=1, max_size=30) | st.lists(
    st.sampled_from(["a", ".", "/", "*", "#", "[", "]", " ", "é", "订", "-", "_"]), min_size=1, max_size=12
).map("".join)


@given(EVENT_TYPES)
def test_each_event_type_has_words_and_is_matched_by_its_own_name(event_type: str) -> None:
    """However it is spelt; and what is spelt for routing keys stays as it is."""
    key = key_segment(event_type)
    assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key)
    assert key_segment(key) == key
    assert key_pattern(key) == key
    if not {"*", "#"} & set(re.split(r"[^A-Za-z0-9_*#-]+", event_type)):
        assert matches(key_pattern(event_type), key)
