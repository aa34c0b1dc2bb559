"""Event types as words of routing keys, and patterns over them as topic exchanges have them.

Senders name their events in any alphabet: ``orders/create``, ``v2.core.account[configuration.merchant].updated``,
``заказ``. The event keeps that name; everywhere else (routing keys, the CloudEvents ``type``, patterns, logs) it is
spelt as :func:`key_segment` spells it, and whoever writes a pattern may use either spelling.

In a pattern ``*`` stands for one word, ``#`` for any number of them, none included.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256

_BETWEEN_WORDS = re.compile(r"[^A-Za-z0-9_-]+")
_BETWEEN_WORDS_OF_PATTERN = re.compile(r"[^A-Za-z0-9_*#-]+")
_WILDCARDS = frozenset("*#")
_DIGITS = 12  # of a digest; two of a sender's event types in one alphabet will not share them


def key_segment(event_type: str) -> str:
    """Spell an event type as part of a routing key: words of ``[A-Za-z0-9_-]`` with dots between, at least one.

    What else stands there separates words. A type without a single such letter is named by a digest of it.
    """
    return _BETWEEN_WORDS.sub(".", event_type).strip(".") or _digest_of(event_type)


def key_pattern(pattern: str) -> str:
    """Spell a pattern over event types as :func:`key_segment` does the types; ``*`` and ``#`` stay if they stand alone."""
    words = [
        word if word in _WILDCARDS else _BETWEEN_WORDS.sub(".", word).strip(".")
        for word in _BETWEEN_WORDS_OF_PATTERN.split(pattern)
    ]
    return ".".join(filter(None, words)) or _digest_of(pattern)


def routing_pattern(pattern: str) -> str:
    """Spell a pattern over routing keys, ``<provider>.<event type>``, whose event type may be as its sender has it."""
    provider, dot, event_type = pattern.partition(".")
    return f"{provider}.{key_pattern(event_type)}" if dot else pattern


def _digest_of(event_type: str) -> str:
    return f"x-{sha256(event_type.encode()).hexdigest()[:_DIGITS]}"


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    expression = ""
    for word in pattern.split("."):
        match word:
            case "#":
                expression += r"(?:\.[^.]*)*"
            case "*":
                expression += r"\.[^.]*"
            case _:
                expression += r"\." + re.escape(word)
    return re.compile(expression)


def matches(pattern: str, key: str) -> bool:
    """Whether a topic exchange would route ``key`` by ``pattern``."""
    return _compile(pattern).fullmatch("." + key) is not None
