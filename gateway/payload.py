"""JSON to the letter, and the trace context of a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.errors import MalformedJson
from providers import Headers, MalformedRequest

MAX_DEPTH = 32
"""Levels of nesting. Real events have under fifteen; validators and consumers recurse."""

MAX_NAMES = 10_000
"""Names in one object of a large body."""

MAX_NAME = 4096
"""Characters of a name in a large body."""

_LARGE = 64 * 1024
"""Bytes of a body up to which its size alone is bound enough for the names in it; nearly all are smaller."""

_TRACEPARENT_LENGTH = 55
_TRACEPARENT_ALPHABET = frozenset("0123456789abcdef-")


def parse_json(body: bytes) -> Any:
    """The value of a body, by RFC 8259 to the letter.

    Duplicate names are accepted, since real senders have them, and the last one counts; NaN, fractions beyond a
    double, invalid UTF-8, lone surrogates, a byte order mark and anything after the value are not. Integers
    beyond 64 bits are read as the nearest double; the bytes go out as they came.

    Raises:
        MalformedJson: it is not JSON, nested deeper than 32 levels, or large with an object of more than 10,000
            names or a name of more than 4096 characters.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        payload = _parse_with_huge_integers(body, error)
    # Counting brackets is an upper bound that costs next to nothing; only what exceeds it is walked.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and is_deeper(payload, MAX_DEPTH):
        raise MalformedJson("nested too deeply")
    if len(body) > _LARGE:
        _check_names(payload)
    return payload


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and lists are nested in more than ``levels`` levels."""
    return any(level > levels for level, _ in enumerate(_layers(value), start=1))


def _check_names(payload: object) -> None:
    for layer in _layers(payload):
        for container in layer:
            if type(container) is dict and container:
                if len(container) > MAX_NAMES:
                    raise MalformedJson("an object has too many names")
                if max(map(len, container)) > MAX_NAME:
                    raise MalformedJson("a name is too long")


def _layers(value: object) -> Iterator[list[dict[str, Any] | list[Any]]]:
    """The objects and lists of each level of nesting, from the outermost on."""
    layer: list[Any] = [value] if type(value) is dict or type(value) is list else []
    while layer:
        yield layer
        layer = [
            inner
            for container in layer
            for inner in (container.values() if type(container) is dict else container)
            if type(inner) is dict or type(inner) is list
        ]


def _parse_with_huge_integers(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """The value of a body that was refused, perhaps only for integers that no double holds."""
    clamped = _HUGE_INTEGER.sub(_clamp, body)
    if clamped != body:
        try:
            return orjson.loads(clamped)
        except orjson.JSONDecodeError:
            pass
    raise MalformedJson(error.msg) from error


# A text, which is left alone, or an integer of 309 digits at least; Python refuses over 4300, and so do we. The
# quantifiers of the text give nothing back, so that the search is linear.
_HUGE_INTEGER = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"?|(?<![0-9.eE+-])-?+[1-9][0-9]{308,4299}+(?![0-9.eE])', re.DOTALL
)


def _clamp(token: re.Match[bytes]) -> bytes:
    if token[0].startswith(b'"'):
        return token[0]
    return b"-1e308" if token[0].startswith(b"-") else b"1e308"


def traceparent_of(headers: Headers) -> str | None:
    """The W3C trace context of the request, when it is well-formed; a repeated or odd one is left out."""
    try:
        value = headers.get(b"traceparent")
    except MalformedRequest:
        return None
    if value is None or len(value) != _TRACEPARENT_LENGTH or value.count(b"-") != 3:
        return None
    text = value.decode("latin-1")
    return text if set(text) <= _TRACEPARENT_ALPHABET else None
