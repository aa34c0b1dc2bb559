"""Finds the endpoints that want an event, among any number of them.

The patterns of all endpoints of a tenant form one tree. Conditions are asked only of those whose patterns match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson

from gateway.events.conditions import Condition, compile_where
from gateway.events.pointers import ABSENT, parse_pointer, resolve
from gateway.outbound.models import Endpoint, Subscription
from gateway.transport.pattern_tree import PatternTree
from gateway.transport.topic_patterns import routing_pattern

_DIAGNOSTIC = ".agent.diagnostic."
"""The words of event types that only patterns with these words match: nobody wants them who asks for everything."""


class Match(NamedTuple):
    """An endpoint that wants an event.

    Attributes:
        endpoint: The endpoint.
        subscription: The first of its subscriptions that matches.
    """

    endpoint: Endpoint
    subscription: Subscription


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
        self._patterns: dict[str, PatternTree[_Entry]] = {}
        for number, endpoint in enumerate(self._endpoints):
            patterns = self._patterns.setdefault(endpoint.tenant, PatternTree())
            self._conditions.append([compile_where(each.where) for each in endpoint.subscriptions])
            for position, subscription in enumerate(endpoint.subscriptions):
                for pattern in map(routing_pattern, subscription.events):
                    patterns.add(pattern, _Entry(number, position, _is_diagnostic(pattern)))

    def match(self, tenant: str, key: str, event: Callable[[], Any]) -> list[Match]:
        """Return the endpoints that want an event, in their order.

        Args:
            tenant: The label of the event. No endpoint of another tenant gets it.
            key: The routing key.
            event: Returns the parsed CloudEvent. It is called once, and only if a condition has to be asked.
        """
        needs_diagnostic = _is_diagnostic(key)
        positions: dict[int, set[int]] = {}
        patterns = self._patterns.get(tenant)
        for entry in patterns.find(key) if patterns else ():
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


def _is_diagnostic(pattern: str) -> bool:
    return _DIAGNOSTIC in f".{pattern}."


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
