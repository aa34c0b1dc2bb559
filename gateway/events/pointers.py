"""JSON pointers into events (RFC 6901)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

MAX_POINTER = 255
"""The longest pointer in characters."""

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class Absent:
    """The type of :data:`ABSENT`."""


ABSENT = Absent()
"""What a pointer leads to where there is nothing. JSON's null is something."""


def parse_pointer(text: str) -> tuple[str, ...]:
    """Return the steps of a pointer.

    Raises:
        ValueError: It is none, or longer than :data:`MAX_POINTER`.
    """
    if len(text) > MAX_POINTER or not _POINTER.fullmatch(text):
        raise ValueError("is no JSON pointer, such as /data/status")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


def resolve(value: Any, steps: Sequence[str]) -> Any:
    """Return what the steps lead to, or :data:`ABSENT`."""
    for step in steps:
        if type(value) is dict:
            value = value.get(step, ABSENT)
        elif type(value) is list and _INDEX.fullmatch(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return ABSENT
    return value
