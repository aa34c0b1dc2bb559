"""Patterns of topic exchanges: ``*`` stands for one word, ``#`` for any number of them, none included."""

from __future__ import annotations

import re
from functools import cache


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
