"""Event types as words of routing keys, and patterns as AMQP topic exchanges match them.

Providers name their events in any alphabet: ``orders/create``, ``v2.core.account[configuration.merchant].updated``,
``заказ``. The event keeps that name. Routing keys, the CloudEvents ``type``, patterns and logs have the spelling of
:func:`key_segment`; a pattern may be written in either spelling.

In a pattern ``*`` matches one word and ``#`` any number of words, also none.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256

_SEPARATORS = re.compile(r"[^A-Za-z0-9_-]+")
_PATTERN_SEPARATORS = re.compile(r"[^A-Za-z0-9_*#-]+")
_WILDCARDS = frozenset("*#")

_DIGEST_LENGTH = 12
"""The hexadecimal digits of a digest: 48 bits, so that no two event types of a provider share one by chance."""


def key_segment(event_type: str) -> str:
    """Spell an event type as part of a routing key: words of ``[A-Za-z0-9_-]`` and dots.

    Every other character separates words. A type without a single such word is replaced by a digest of it.
    """
    return _SEPARATORS.sub(".", event_type).strip(".") or _digest_of(event_type)


def key_pattern(pattern: str) -> str:
    """Spell a pattern over event types as :func:`key_segment` spells types.

    ``*`` and ``#`` stay where they are whole words.
    """
    words = [
        word if word in _WILDCARDS else _SEPARATORS.sub(".", word).strip(".")
        for word in _PATTERN_SEPARATORS.split(pattern)
    ]
    return ".".join(filter(None, words)) or _digest_of(pattern)


def routing_pattern(pattern: str) -> str:
    """Spell a pattern over routing keys, whose event type may be in either spelling."""
    provider, dot, event_type = pattern.partition(".")
    return f"{provider}.{key_pattern(event_type)}" if dot else pattern


def _digest_of(event_type: str) -> str:
    return f"x-{sha256(event_type.encode()).hexdigest()[:_DIGEST_LENGTH]}"


def expression(pattern: str) -> str:
    """Return a pattern as a regular expression over a routing key with a full stop before it.

    Python and PostgreSQL read it alike.
    """
    text = ""
    for word in pattern.split("."):
        match word:
            case "#":
                text += r"(?:\.[^.]*)*"
            case "*":
                text += r"\.[^.]*"
            case _:
                text += r"\." + re.escape(word)
    return text


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(expression(pattern))


def matches(pattern: str, key: str) -> bool:
    """Return whether a topic exchange would route ``key`` by ``pattern``."""
    return _compile(pattern).fullmatch("." + key) is not None
