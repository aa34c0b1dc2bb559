"""Find the endpoints that want an event: by tenant, by patterns over its routing key, and by conditions on its content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from gateway.outbound.models import Endpoint, OutboundMessage, Subscription
from gateway.transport.topic_patterns import matches

_OWN = ("gateway.", "agent.diagnostic.")
"""Beginnings of keys that only a pattern with the same beginning matches: what the gateway itself tells, and diagnostics."""

_MISSING = object()

_MAX_CACHED_KEYS = 4096
"""Routing keys whose subscriptions are remembered. An installation has some hundreds; a sender may make them up."""

MAX_ORDER_KEY = 200
"""Characters of an order key."""

Parse = Callable[[], Any]
"""Parses an event, once and only if somebody needs to look into it."""


class Matcher:
    """Knows which endpoints want what.

    Args:
        endpoints: All endpoints.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        by_tenant: dict[str, list[Endpoint]] = {}
        for endpoint in endpoints:
            by_tenant.setdefault(endpoint.tenant, []).append(endpoint)

        @lru_cache(_MAX_CACHED_KEYS)
        def candidates(tenant: str, key: str) -> Sequence[tuple[Endpoint, Sequence[Subscription]]]:
            found = (
                (endpoint, [each for each in endpoint.subscriptions if _wants(each, key)])
                for endpoint in by_tenant.get(tenant, ())
            )
            return [(endpoint, subscriptions) for endpoint, subscriptions in found if subscriptions]

        self._candidates = candidates

    def find(self, key: str, tenant: str, event: Parse) -> list[Endpoint]:
        """Return the endpoints that want an event.

        Args:
            key: Its routing key.
            tenant: Its tenant.
            event: Parses it.
        """
        return [
            endpoint
            for endpoint, subscriptions in self._candidates(tenant, key)
            if any(not each.where or _holds(each.where, event()) for each in subscriptions)
        ]


def order_key(endpoint: Endpoint, message: OutboundMessage, event: Parse) -> str:
    """Return the key by which an endpoint gets its events one after another; empty if it does not, or the event has none."""
    if endpoint.order == "none":
        return ""
    value = message.subject if endpoint.order == "subject" else look_up(event(), endpoint.order)
    if value is _MISSING or value is None or isinstance(value, dict | list):
        return ""
    return str(value)[:MAX_ORDER_KEY]


def look_up(event: Any, pointer: str) -> Any:
    """Return the value at a JSON Pointer (RFC 6901); a sentinel if there is none."""
    value = event
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return _MISSING
    return value


def _wants(subscription: Subscription, key: str) -> bool:
    own = next((each for each in _OWN if f"{key}.".startswith(each)), "")
    return any(matches(pattern, key) and pattern.startswith(own) for pattern in subscription.events)


def _holds(where: Sequence[Mapping[str, Mapping[str, Any]]], event: Any) -> bool:
    return any(
        all(
            _compare(look_up(event, pointer), operator, operand)
            for pointer, operands in conditions.items()
            for operator, operand in operands.items()
        )
        for conditions in where
    )


def _compare(value: Any, operator: str, operand: Any) -> bool:
    if operator == "exists":
        return (value is not _MISSING) is operand
    if value is _MISSING:
        return operator in {"ne", "not_in"}
    match operator:
        case "eq":
            return _is_equal(value, operand)
        case "ne":
            return not _is_equal(value, operand)
        case "in":
            return any(_is_equal(value, each) for each in operand)
        case "not_in":
            return not any(_is_equal(value, each) for each in operand)
        case "prefix":
            return isinstance(value, str) and value.startswith(operand)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    match operator:
        case "gt":
            return bool(value > operand)
        case "gte":
            return bool(value >= operand)
        case "lt":
            return bool(value < operand)
        case _:
            return bool(value <= operand)


def _is_equal(value: Any, operand: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return isinstance(value, bool) is isinstance(operand, bool) and value == operand
