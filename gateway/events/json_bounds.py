"""Bounds on JSON, which protect the consumers that read it: the depth of nesting, and the names of an object.

Compiled libraries walk what has to be walked. A loop in Python takes longer than the parser from 8 KB on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import MalformedJson

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

MAX_DEPTH = 100
"""Levels of nesting. Rich text with lists in lists has about forty; consumers that recurse fail at several hundred."""

MAX_NAMES = 10_000
"""Names in one object: a consumer whose hash table an attacker can make collide needs quadratic time."""

MAX_NAME = 4096
"""Characters of a name in a large body: consumers make columns, indexes and labels of names."""

_LARGE = 64 * 1024
"""Bytes of a body up to which its size bounds the names well enough. Nearly all bodies are smaller."""

_COUNTED = 8 * 1024
"""Bytes of a body up to which its brackets are counted. In a larger one, finding the depth at once costs no more."""

_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{[")
"""All bytes but those that open a level. Deleting them takes less time than counting the two."""

_BACKSLASH = ord("\\")

_WRITABLE_DEPTH = 254
"""Levels that orjson writes; it raises at one more. (It reads 1024.)"""


def check_bounds(body: bytes, payload: object) -> None:
    """Check a body and its value.

    Raises:
        MalformedJson: The value is nested deeper than 100 levels; or the body is large, and an object in it has more than
            10,000 names or a name of more than 4096 characters.
    """
    if len(body) > _LARGE:
        if not _bounds_schema().is_valid(payload):
            raise MalformedJson(
                "nested too deeply" if _is_too_deep(payload) else "an object has too many names"
            )
        if _has_long_text(body) and _has_long_name(payload):
            raise MalformedJson("a name is too long")
        return
    # What is counted in the bytes is an upper bound. Only a body that exceeds it is walked, by a compiled library.
    is_flat = len(body) <= _COUNTED and len(body.translate(None, _NO_BRACKETS)) <= MAX_DEPTH
    if not is_flat and _is_too_deep(payload):
        raise MalformedJson("nested too deeply")


def is_deeper(value: object, levels: int) -> bool:
    """Return whether objects and lists are nested in more than ``levels`` levels."""
    return any(level > levels for level, _ in enumerate(_layers(value), start=1))


def _is_too_deep(payload: object) -> bool:
    """Have orjson find out by writing the payload within lists: a walk takes thrice as long."""
    innermost = _nest.innermost
    innermost[0] = payload
    try:
        orjson.dumps(_nest.outermost)
    except orjson.JSONEncodeError:
        return True
    finally:
        innermost[0] = None
    return False


class _Nest(threading.local):
    """Lists within each other, so many that orjson can write a hundred levels more. Each thread has its own.

    Attributes:
        innermost: the list that takes a payload.
        outermost: the list around all others.
    """

    def __init__(self) -> None:
        self.innermost: list[Any] = [None]
        self.outermost = self.innermost
        for _ in range(_WRITABLE_DEPTH - MAX_DEPTH - 1):
            self.outermost = [self.outermost]


_nest = _Nest()


@cache
def _bounds_schema() -> Draft202012Validator:
    """Return a schema of values with neither too many levels nor an object of too many names.

    It has a definition for each level, and looks at objects and lists alone. One pass takes 0.9 ms for each MB; a schema
    that refers to itself took 1.6 ms, and orjson another 0.5 ms for the depth (2026-11).
    """
    # Imported here: few bodies need it, and programs that only read queues would load it for nothing.
    from jsonschema_rs import Draft202012Validator  # noqa: PLC0415

    levels: dict[str, object] = {str(MAX_DEPTH): False}
    for level in range(MAX_DEPTH):
        inner = {"if": {"type": ["object", "array"]}, "then": {"$ref": f"#/$defs/{level + 1}"}}
        levels[str(level)] = {"maxProperties": MAX_NAMES, "additionalProperties": inner, "items": inner}
    return Draft202012Validator({"$ref": "#/$defs/0", "$defs": levels})


def _has_long_text(body: bytes) -> bool:
    """Return whether a body could have a string longer than a name may be.

    A string of that length covers one of these pieces, and each quote inside of it has a backslash before it.
    """
    piece = MAX_NAME // 2
    for start in range(0, len(body) - piece + 1, piece):
        quote = body.find(b'"', start, start + piece)
        if quote > 0 and body[quote - 1] == _BACKSLASH:
            # The first byte may be a quote whose backslash is before it.
            quote = body[start - 1 : start + piece].replace(b'\\"', b"").find(b'"', 1)
        if quote < 0:
            return True
    return False


def _has_long_name(payload: object) -> bool:
    return any(
        max(map(len, container), default=0) > MAX_NAME
        for layer in _layers(payload)
        for container in layer
        if type(container) is dict
    )


def _layers(value: object) -> Iterator[list[dict[str, Any] | list[Any]]]:
    """Yield the objects and lists of each level of nesting, outermost first."""
    layer: list[Any] = [value] if type(value) is dict or type(value) is list else []
    while layer:
        yield layer
        layer = [
            inner
            for container in layer
            for inner in (container.values() if type(container) is dict else container)
            if type(inner) is dict or type(inner) is list
        ]
