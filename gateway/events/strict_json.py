"""Parse JSON strictly, as RFC 8259 has it, and read the trace context of a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
from jsonschema_rs import Draft202012Validator

from gateway.errors import MalformedJson
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

MAX_DEPTH = 100
"""Levels of nesting. Rich text with lists in lists has about forty; consumers that recurse fail at several hundred."""

MAX_NAMES = 10_000
"""Names in one object: a consumer whose hash table an attacker can make collide needs quadratic time."""

MAX_NAME = 4096
"""Characters of a name in a large body: consumers make columns, indexes and labels of names."""

_LARGE = 64 * 1024
"""Bytes of a body up to which its size bounds the names well enough. Nearly all bodies are smaller."""

_COUNTED = 16 * 1024
"""Bytes of a body up to which its brackets are counted. In a larger one, finding the depth at once costs no more."""

_HAS_FEW_NAMES = Draft202012Validator(
    {"maxProperties": MAX_NAMES, "additionalProperties": {"$ref": "#"}, "items": {"$ref": "#"}}
)
"""Finds an object with too many names in half the time of a loop in Python."""

_BACKSLASH = ord("\\")

_WRITABLE_DEPTH = 254
"""Levels that orjson writes; it raises at one more. (It reads 1024.)"""

_TRACEPARENT_LENGTH = 55
"""Characters of a ``traceparent`` of version 00."""

_TRACEPARENT_ALPHABET = frozenset("0123456789abcdef-")
"""The characters of a ``traceparent``: fields in lower-case hex, joined by hyphens."""


class UnreadableNumber(MalformedJson):
    """Raised when the body is JSON with a number beyond a double.

    Most parsers reject all of the body for it.

    Attributes:
        payload: The value of the body with the largest double in place of such numbers, to identify the event.
    """

    def __init__(self, payload: Any) -> None:
        super().__init__("a number is too large")
        self.payload = payload


def parse_json(body: bytes) -> Any:
    """Return the value of a body by the letter of RFC 8259: every consumer reads the same.

    Duplicate names are accepted, because real providers send them, and the last one counts. NaN, invalid UTF-8, lone
    surrogates, a byte order mark and anything after the value are refused. Integers beyond 64 bits are read as the
    nearest double; this concerns the payload alone, as the event's data are the bytes.

    Raises:
        UnreadableNumber: A number exceeds every double.
        MalformedJson: The body is not JSON, is nested deeper than 100 levels, or is large and has an object of more than
            10,000 names or a name of more than 4096 characters.
    """
    payload = load_json(body)
    # What is counted in the bytes is an upper bound. Only a body that exceeds it is walked, by a compiled library.
    is_flat = len(body) <= _COUNTED and body.count(b"{") + body.count(b"[") <= MAX_DEPTH
    if not is_flat and _is_too_deep(payload):
        raise MalformedJson("nested too deeply")
    if len(body) > _LARGE:
        if body.count(b":") > MAX_NAMES and not _HAS_FEW_NAMES.is_valid(payload):
            raise MalformedJson("an object has too many names")
        if _has_long_text(body) and _has_long_name(payload):
            raise MalformedJson("a name is too long")
    return payload


def load_json(body: bytes) -> Any:
    """Return the value of a body, without the bounds of :func:`parse_json` on names and depth.

    Raises:
        UnreadableNumber: A number exceeds every double.
        MalformedJson: The body is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _fault_of(body, error) from error


def is_readable_json(body: bytes) -> bool:
    """Return whether every consumer can read a piece of JSON."""
    try:
        load_json(body)
    except MalformedJson:
        return False
    return True


def load_event(body: bytes) -> dict[str, Any]:
    """Return the event in a message as far as it is readable; empty if it is not an event."""
    try:
        event = load_json(body)
    except UnreadableNumber as error:
        event = error.payload
    except MalformedJson:
        return {}
    return event if type(event) is dict else {}


def is_deeper(value: object, levels: int) -> bool:
    """Return whether objects and lists are nested in more than ``levels`` levels."""
    return any(level > levels for level, _ in enumerate(_layers(value), start=1))


def _is_too_deep(payload: object) -> bool:
    """Have orjson find out by writing the payload within lists: a walk takes thrice as long."""
    for _ in range(_WRITABLE_DEPTH - MAX_DEPTH):
        payload = [payload]
    try:
        orjson.dumps(payload)
    except orjson.JSONEncodeError:
        return True
    return False


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


def _fault_of(body: bytes, error: orjson.JSONDecodeError) -> MalformedJson:
    """Return why orjson refused a body: because of a number alone, or because it is not JSON."""
    if _MAY_BE_HUGE.search(body):
        clamped = _HUGE_NUMBER.sub(_clamp, body)
        if clamped != body:
            try:
                return UnreadableNumber(orjson.loads(clamped))
            except orjson.JSONDecodeError:
                pass
    return MalformedJson(error.msg)


_MAY_BE_HUGE = re.compile(rb"(?<![0-9])[0-9]{309}|[0-9][eE]\+?[0-9]{2}")
"""Finds what every number beyond a double has: 309 digits in a row, or an exponent of two digits."""

_HUGE_NUMBER = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"?'
    rb"|(?<![0-9.eE+-])-?+(0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE]\+?+([0-9]++))?+(?![0-9.eE+-])",
    re.DOTALL,
)
"""Matches a string, which is left alone, or a number. Possessive quantifiers keep the search linear."""


def _clamp(token: re.Match[bytes]) -> bytes:
    """Return the token, or the largest double if the number exceeds it.

    Leading zeros of a fraction are ignored: at worst, an event that is quarantined anyway gets a wrong number in its id.
    """
    digits, exponent = token.groups()
    if digits is None or len(digits) + int((exponent or b"").lstrip(b"0")[:9] or 0) < 309:
        return token[0]
    return b"-1e308" if token[0].startswith(b"-") else b"1e308"


def traceparent_of(headers: Headers) -> str | None:
    """Return the W3C trace context of the request; None if it is absent, repeated or malformed."""
    try:
        value = headers.get(b"traceparent")
    except MalformedRequest:
        return None
    if value is None or len(value) != _TRACEPARENT_LENGTH or value.count(b"-") != 3:
        return None
    text = value.decode("latin-1")
    return text if set(text) <= _TRACEPARENT_ALPHABET else None
