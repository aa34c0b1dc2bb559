"""Parse JSON strictly, as RFC 8259 has it, and read the trace context of a request."""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.errors import MalformedJson
from gateway.events.json_bounds import check_bounds
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

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
    check_bounds(body, payload)
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
