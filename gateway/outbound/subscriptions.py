"""Subscriptions as people write them: read, checked, and told what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.events.conditions import BadCondition, compile_where
from gateway.outbound.models import Subscription
from gateway.transport.topic_patterns import routing_pattern

MAX_SUBSCRIPTIONS = 32
"""The most subscriptions of an endpoint."""

MAX_PATTERNS = 64
"""The most patterns of a subscription."""

_MAX_PATTERN = 255  # bytes of a routing key
_WORD = re.compile(r"[A-Za-z0-9_-]+|[*#]")


class BadSubscription(ValueError):
    """Raised for subscriptions that are none. The text is one line that begins with the place."""


def read_subscriptions(value: Any) -> tuple[Subscription, ...]:
    """Return the subscriptions of an endpoint.

    Each is an object with `events`, a pattern or a list of them, and `where`, an object of conditions or a list of such objects.

    Args:
        value: JSON or YAML, parsed.

    Raises:
        BadSubscription: It is malformed.
    """
    if not isinstance(value, list | tuple) or not value:
        raise BadSubscription("subscriptions: has to be a list with at least one subscription")
    if len(value) > MAX_SUBSCRIPTIONS:
        raise BadSubscription(f"subscriptions: has more than {MAX_SUBSCRIPTIONS} subscriptions")
    return tuple(_read(each, f"subscriptions.{number}") for number, each in enumerate(value))


def _read(value: Any, place: str) -> Subscription:
    if not isinstance(value, Mapping):
        raise BadSubscription(f"{place}: has to be an object with events and where")
    for name in value:
        if name not in {"events", "where"}:
            raise BadSubscription(f"{place}.{str(name)[:40]!a}: is unknown; there are events and where")
    where = value.get("where", ())
    where = [where] if isinstance(where, Mapping) else where
    if not isinstance(where, list | tuple) or not all(isinstance(each, Mapping) for each in where):
        raise BadSubscription(f"{place}.where: has to be an object of conditions, or a list of such objects")
    subscription = Subscription(
        events=_read_patterns(value.get("events"), f"{place}.events"),
        where=tuple(
            {
                pointer: dict(each) if isinstance(each, Mapping) else each
                for pointer, each in conditions.items()
            }
            for conditions in where
        ),
    )
    try:
        compile_where(subscription.where)
    except BadCondition as error:
        raise BadSubscription(f"{place}.{error}") from None
    return subscription


def _read_patterns(value: Any, place: str) -> tuple[str, ...]:
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list | tuple) or not patterns:
        raise BadSubscription(f"{place}: has to be a pattern such as stripe.invoice.*, or a list of them")
    if len(patterns) > MAX_PATTERNS:
        raise BadSubscription(f"{place}: has more than {MAX_PATTERNS} patterns")
    for number, pattern in enumerate(patterns):
        if not isinstance(pattern, str) or not is_pattern(pattern):
            raise BadSubscription(
                f"{place}.{number}: is no pattern over routing keys, such as stripe.invoice.* or billing-agent.#"
            )
    return tuple(patterns)


def is_pattern(pattern: str) -> bool:
    """Return whether a text is a pattern over routing keys, in the spelling of keys or of a provider."""
    words = routing_pattern(pattern).split(".")
    is_spelled = 0 < len(pattern) <= _MAX_PATTERN and "" not in pattern.split(".")
    return is_spelled and all(map(_WORD.fullmatch, words))
