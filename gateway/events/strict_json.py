"""JSON to the letter, and the trace context of a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.errors import MalformedJson
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

MAX_DEPTH = 100
"""Levels of nesting. Rich text with lists in lists has some forty; what consumers recurse with ends at several hundred."""

MAX_NAMES = 10_000
"""Names in one object: consumers whose hash tables can be made to collide need time with the square of it."""

MAX_NAME = 4096
"""Characters of a name in a large body: consumers make columns, indexes and labels of names."""

_LARGE = 64 * 1024
"""Bytes of a body up to which its size alone is bound enough for the names in it; nearly all are smaller."""

_WRITABLE_DEPTH = 254
"""Levels that orjson writes; at one more it raises. (It reads 1024.)"""

_TRACEPARENT_LENGTH = 55
_TRACEPARENT_ALPHABET = frozenset("0123456789abcdef-")


class UnreadableNumber(MalformedJson):
    """The body is JSON, but has a number beyond a double: most readers refuse all of it for that.

    Attributes:
        payload: its value with the largest double in place of such numbers, to identify the event by.
    """

    def __init__(self, payload: Any) -> None:
        super().__init__("a number is too large")
        self.payload = payload


def parse_json(body: bytes) -> Any:
    """Return the value of a body, by RFC 8259 to the letter, as each consumer reads it.

    Duplicate names are accepted, since real senders have them, and the last one counts; NaN, invalid UTF-8, lone
    surrogates, a byte order mark and anything after the value are not. Integers beyond 64 bits are read as the
    nearest double; the bytes go out as they came.

    Raises:
        UnreadableNumber: It has a number that no double holds.
        MalformedJson: It is not JSON, nested deeper than 100 levels, or large with an object of more than 10,000
            names or a name of more than 4096 characters.
    """
    payload = load_json(body)
    # Counting is an upper bound that costs next to nothing; only what exceeds it is looked at.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_too_deep(payload):
        raise MalformedJson("nested too deeply")
    if len(body) > _LARGE and (body.count(b":") > MAX_NAMES or _has_long_text(body)):
        _check_names(payload)
    return payload


def load_json(body: bytes) -> Any:
    """Return the value of a body, without the bounds that :func:`parse_json` has for what strangers send.

    Raises:
        UnreadableNumber: It has a number that no double holds.
        MalformedJson: It is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _fault_of(body, error) from error


def is_readable_json(body: bytes) -> bool:
    """Whether each consumer can read a piece of JSON."""
    try:
        load_json(body)
    except MalformedJson:
        return False
    return True


def load_event(body: bytes) -> dict[str, Any]:
    """Return the event in a message, as far as it can be read; an empty one when there is none, whoever put it there."""
    try:
        event = load_json(body)
    except UnreadableNumber as error:
        event = error.payload
    except MalformedJson:
        return {}
    return event if type(event) is dict else {}


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and lists are nested in more than ``levels`` levels."""
    return any(level > levels for level, _ in enumerate(_layers(value), start=1))


def _is_too_deep(payload: object) -> bool:
    """Have orjson find out by writing it within lists: it takes a third of the time of reading, a walk all of it."""
    for _ in range(_WRITABLE_DEPTH - MAX_DEPTH):
        payload = [payload]
    try:
        orjson.dumps(payload)
    except orjson.JSONEncodeError:
        return True
    return False


def _has_long_text(body: bytes) -> bool:
    """Whether a text in a body could be longer than a name: looking for its quotes is cheaper than a walk.

    A text of that length has all of one of these pieces in it, and no quote of its own but escaped ones.
    """
    body = body.replace(b'\\"', b"__")
    piece = MAX_NAME // 2
    return any(body.find(b'"', start, start + piece) < 0 for start in range(0, len(body) - piece + 1, piece))


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


def _fault_of(body: bytes, error: orjson.JSONDecodeError) -> MalformedJson:
    """What is wrong with a body that was refused: a number alone, or more than that."""
    if _MAY_BE_HUGE.search(body):
        clamped = _HUGE_NUMBER.sub(_clamp, body)
        if clamped != body:
            try:
                return UnreadableNumber(orjson.loads(clamped))
            except orjson.JSONDecodeError:
                pass
    return MalformedJson(error.msg)


_MAY_BE_HUGE = re.compile(rb"(?<![0-9])[0-9]{309}|[0-9][eE]\+?[0-9]{2}")
"""Without either, no number is beyond a double."""

_HUGE_NUMBER = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"?'
    rb"|(?<![0-9.eE+-])-?+(0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE]\+?+([0-9]++))?+(?![0-9.eE+-])",
    re.DOTALL,
)
"""A text, which is left alone, or a number. The quantifiers give nothing back, so that the search is linear."""


def _clamp(token: re.Match[bytes]) -> bytes:
    """The token, or the largest double where the number has more digits before its point than that.

    Leading zeros of a fraction are not looked at: nothing but an event that is kept from consumers anyway would be
    identified by a wrong number then.
    """
    digits, exponent = token.groups()
    if digits is None or len(digits) + int((exponent or b"").lstrip(b"0")[:9] or 0) < 309:
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
