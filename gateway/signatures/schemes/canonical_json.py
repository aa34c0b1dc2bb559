"""Rewritten JSON, for senders that sign a serialization of the body's value instead of the bytes that they send.

``sorted``          the output of Python's ``json.dumps(body, sort_keys=True)``
``sorted_compact``  the same with ``separators=(",", ":")``
``canonical``       RFC 8785, the JSON Canonicalization Scheme

The body is parsed before its sender is proven, so the cost is bounded by its size and by counts of its bytes. A body is
refused if parsing and rewriting would hide a difference: repeated names, however they are escaped, and numbers that a
double cannot represent.

This module has slightly more than 200 lines because the number formats of both styles need the same limits.
"""

from __future__ import annotations

import json
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Literal, NoReturn

from gateway.signatures.rejections import SignatureRejected

Style = Literal["sorted", "sorted_compact", "canonical"]

MAX_BODY = 1024**2
"""Maximum bytes of a body that is rewritten. A larger one is refused unread."""

MAX_MARKS = 40_000
"""Maximum commas, colons and opening brackets, including those in strings. Each member or item costs about 0.5 µs."""

_MAX_CANONICAL_MARKS = 20_000
"""The same for RFC 8785, whose writer is in Python and slower."""

_EXACT = 2**53
"""The first integer from which a double cannot represent every integer."""

_DIGITS_OF_DOUBLE = 17
"""Significant digits that distinguish every double from its neighbours. Further digits are lost."""

_DIGITS_OF_DECIMAL = 15
"""Characters up to which a number without an exponent survives the conversion to a double."""

_LONG_INTEGER = 1000
"""Digits from which an integer counts as long: parsing takes time proportional to the square of its length."""

_MAX_LONG_INTEGERS = 20
"""Maximum long integers in one body."""

_MAX_NUMBER = 400
"""Maximum characters of a number that is read as a double. The longest plain spelling has about 330."""

_SCIENTIFIC = 21
"""Digits before the decimal point above which ECMAScript writes an exponent."""

_SMALLEST_POINT = -6
"""Position of the decimal point below which ECMAScript writes an exponent, too."""


def rewrite(body: bytes, style: Style) -> bytes:
    """Rewrite ``body`` in a style.

    Raises:
        SignatureRejected: The body is too large or not strict JSON in UTF-8 (``signature_malformed``), or another body
            with a different meaning would give the same text (``signature_ambiguous``).
    """
    marks = body.count(b",") + body.count(b":") + body.count(b"{") + body.count(b"[")
    is_canonical = style == "canonical"
    if len(body) > MAX_BODY or marks > (_MAX_CANONICAL_MARKS if is_canonical else MAX_MARKS):
        raise SignatureRejected("signature_malformed")
    reader = _CanonicalReader() if is_canonical else _Reader()
    try:
        value = reader.read(body.decode())
        if is_canonical:
            pieces: list[str] = []
            _write(value, pieces)
            return "".join(pieces).encode()
        return _WRITERS[style](value).encode()
    except SignatureRejected:
        raise
    except (ValueError, ArithmeticError, RecursionError):
        raise SignatureRejected("signature_malformed") from None


def _refuse_constant(_: str) -> NoReturn:
    raise SignatureRejected("signature_malformed")  # NaN and Infinity are not JSON


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise SignatureRejected("signature_ambiguous")
    return members


class _Reader:
    """A parser of one body with Python's numbers. It refuses numbers that do not survive the conversion."""

    def __init__(self) -> None:
        self._long_integers = 0

    def read(self, text: str) -> Any:
        """Parse a body."""
        return json.JSONDecoder(
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=self._integer,
            parse_float=self._double,
        ).decode(text)

    def _integer(self, text: str) -> int | float:
        if text == "-0":
            raise SignatureRejected("signature_ambiguous")
        if len(text) > _LONG_INTEGER:
            self._long_integers += 1
            if self._long_integers > _MAX_LONG_INTEGERS:
                raise SignatureRejected("signature_malformed")
        return int(text)

    def _double(self, text: str) -> float:
        """Parse a number with a fraction or an exponent. Refuse one that a double cannot represent."""
        number = float(text)
        if len(text) <= _DIGITS_OF_DECIMAL and "e" not in text and "E" not in text:
            return number
        if abs(number) == float("inf") or len(text) > _MAX_NUMBER:
            raise SignatureRejected("signature_ambiguous")
        exact = Decimal(text)
        if exact != Decimal(repr(number)):
            digits = len("".join(map(str, exact.as_tuple().digits)).strip("0"))
            if digits > _DIGITS_OF_DOUBLE or not number or abs(number) >= _EXACT:
                raise SignatureRejected("signature_ambiguous")
        return number


class _CanonicalReader(_Reader):
    """A parser of one body by RFC 8785: every number is a double, and zero has no sign."""

    def _integer(self, text: str) -> float:
        """Parse an integer as a double. Refuse one that is not exact, unless it is the canonical text of its double."""
        if text == "-0" or len(text) > _MAX_NUMBER:
            raise SignatureRejected("signature_ambiguous")
        number = float(text)
        if abs(number) >= _EXACT and int(text) != number and text != _write_number(number):
            raise SignatureRejected("signature_ambiguous")
        return number

    def _double(self, text: str) -> float:
        number = super()._double(text)
        if not number and text.startswith("-"):
            raise SignatureRejected("signature_ambiguous")
        return number


_WRITERS = {
    "sorted": json.JSONEncoder(sort_keys=True, check_circular=False).encode,
    "sorted_compact": json.JSONEncoder(sort_keys=True, check_circular=False, separators=(",", ":")).encode,
}


def _write(value: Any, pieces: list[str]) -> None:
    """Append the text of a value by RFC 8785.

    Raises:
        UnicodeEncodeError: A string has half a surrogate pair, which RFC 8785 excludes.
    """
    kind = type(value)
    if kind is str:
        pieces.append(encode_basestring(value))
    elif kind is float:
        pieces.append(_write_number(value))
    elif kind is dict:
        pieces.append("{")
        for place, name in enumerate(sorted(value, key=_utf16)):
            pieces.append(f"{',' if place else ''}{encode_basestring(name)}:")
            _write(value[name], pieces)
        pieces.append("}")
    elif kind is list:
        pieces.append("[")
        for place, item in enumerate(value):
            if place:
                pieces.append(",")
            _write(item, pieces)
        pieces.append("]")
    else:
        pieces.append("null" if value is None else "true" if value else "false")


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


def _write_number(number: float) -> str:
    """Format a double like ECMAScript (ECMA-262, Number::toString)."""
    if number.is_integer() and abs(number) < _EXACT:
        return str(int(number))
    sign, shortest, power = Decimal(repr(number)).as_tuple()
    digits = "".join(map(str, shortest)).rstrip("0")
    point = len(shortest) + int(power)  # digits before the decimal point
    minus = "-" if sign else ""
    if len(digits) <= point <= _SCIENTIFIC:
        return f"{minus}{digits:0<{point}}"
    if 0 < point <= _SCIENTIFIC:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if _SMALLEST_POINT < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{fraction}e{point - 1:+d}"
