"""Finds the endpoints that want an event, among any number of them.

The patterns of all endpoints of a tenant form one tree of words, so that an event costs what matches it, and not one comparison for each
endpoint. Conditions are asked only of those whose patterns match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from gateway.events.conditions import Condition, compile_where
from gateway.events.pointers import ABSENT, parse_pointer, resolve
from gateway.outbound.models import Endpoint, Subscription
from gateway.transport.topic_patterns import routing_pattern

_DIAGNOSTIC = ("agent", "diagnostic")
"""The words of event types that only patterns with these words match: nobody wants them who asks for everything."""


class Match(NamedTuple):
    """An endpoint that wants an event.

    Attributes:
        endpoint: The endpoint.
        subscription: The first of its subscriptions that matches.
    """

    endpoint: Endpoint
    subscription: Subscription


class _Node:
    """A word of patterns, and what follows it."""

    __slots__ = ("ends", "following")

    def __init__(self) -> None:
        self.following: dict[str, _Node] = {}
        self.ends: list[_Entry] = []

    def add(self, words: Iterable[str], entry: _Entry) -> None:
        """Add an entry for a pattern below this node."""
        node = self
        for word in words:
            node = node.following.setdefault(word, _Node())
        node.ends.append(entry)


class _Entry(NamedTuple):
    """A pattern of a subscription.

    Attributes:
        number: The position of the endpoint.
        position: The position of the subscription within its endpoint.
        is_diagnostic: Whether the pattern asks for diagnostic events.
    """

    number: int
    position: int
    is_diagnostic: bool


class Matcher:
    """The endpoints of one moment. Whenever one changes, another matcher is made.

    Args:
        endpoints: The endpoints.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = list(endpoints)
        self._conditions: list[list[Condition | None]] = []
        self._roots: dict[str, _Node] = {}
        for number, endpoint in enumerate(self._endpoints):
            root = self._roots.setdefault(endpoint.tenant, _Node())
            self._conditions.append([compile_where(each.where) for each in endpoint.subscriptions])
            for position, subscription in enumerate(endpoint.subscriptions):
                for pattern in subscription.events:
                    words = routing_pattern(pattern).split(".")
                    root.add(words, _Entry(number, position, _is_diagnostic(words)))

    def match(self, tenant: str, key: str, event: Callable[[], Any]) -> list[Match]:
        """Return the endpoints that want an event, in their order.

        Args:
            tenant: The label of the event. No endpoint of another tenant gets it.
            key: The routing key.
            event: Returns the parsed CloudEvent. It is called once, and only if a condition has to be asked.
        """
        words = key.split(".")
        needs_diagnostic = _is_diagnostic(words)
        positions: dict[int, set[int]] = {}
        root = self._roots.get(tenant)
        for entry in _entries(root, words) if root else ():
            if entry.is_diagnostic or not needs_diagnostic:
                positions.setdefault(entry.number, set()).add(entry.position)
        parsed: list[Any] = []
        found = []
        for number in sorted(positions):
            conditions = self._conditions[number]
            for position in sorted(positions[number]):
                condition = conditions[position]
                if condition is not None:
                    if not parsed:
                        parsed.append(event())
                    if not condition(parsed[0]):
                        continue
                endpoint = self._endpoints[number]
                found.append(Match(endpoint, endpoint.subscriptions[position]))
                break
        return found


def _entries(root: _Node, words: list[str]) -> Iterator[_Entry]:
    """Yield the entries whose pattern matches, each of them once."""
    waiting, seen = [(root, 0)], {(id(root), 0)}

    def visit(node: _Node | None, depth: int) -> None:
        # Several ways can lead to one place of a pattern with more than one #.
        if node is not None and (id(node), depth) not in seen:
            seen.add((id(node), depth))
            waiting.append((node, depth))

    ended: set[int] = set()
    while waiting:
        node, depth = waiting.pop()
        if depth == len(words):
            if id(node) not in ended:
                ended.add(id(node))
                yield from node.ends
        else:
            visit(node.following.get(words[depth]), depth + 1)
            visit(node.following.get("*"), depth + 1)
        if (rest := node.following.get("#")) is not None:
            for after in range(depth, len(words) + 1):
                visit(rest, after)


def _is_diagnostic(words: list[str]) -> bool:
    return any(tuple(words[place : place + 2]) == _DIAGNOSTIC for place in range(len(words) - 1))


def order_key(order: str, subject: str, event: Callable[[], Any]) -> str:
    """Return the key within which deliveries of an endpoint go one after another; empty if they need not.

    Args:
        order: `none`, `subject`, or a JSON pointer into the event.
        subject: The subject of the event.
        event: Returns the parsed CloudEvent.

    Raises:
        ValueError: The order is neither of these.
    """
    if order == "none":
        return ""
    if order == "subject":
        return subject
    value = resolve(event(), parse_pointer(order))
    if value is ABSENT or value is None or isinstance(value, dict | list):
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
