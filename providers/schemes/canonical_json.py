"""JSON written anew, for senders that sign not the bytes of a body but what a program of theirs makes of its value.

``sorted``          what Python's ``json.dumps(body, sort_keys=True)`` writes
``sorted_compact``  the same with ``separators=(",", ":")``
``canonical``       RFC 8785, the JSON Canonicalization Scheme

The body is read before it is proven, so what that costs is bounded by its size and by what is counted in its bytes.
A body is refused where reading and writing it again would hide a difference: names that stand twice, however they are
escaped, and numbers that a double does not hold.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Literal, NoReturn

from providers.rejections import SignatureRejected

Style = Literal["sorted", "sorted_compact", "canonical"]

MAX_BODY = 1024**2
"""Bytes of a body that is written anew; a larger one is refused unread."""

MAX_MARKS = 40_000
"""Commas, colons and opening brackets of such a body, in texts too; each member or item costs some 0.5 µs."""

_MAX_CANONICAL_MARKS = 20_000
"""The same for RFC 8785, which is written in Python."""

_EXACT = 2**53
"""From here on a double does not hold every integer."""

_DIGITS_OF_DOUBLE = 17
"""Significant digits with which every double can be told from its neighbours; more are lost."""

_LONG_INTEGER = re.compile(rb"[0-9]{1000}")
_MAX_LONG_INTEGERS = 20
"""Integers of thousands of digits in one body: to read one takes the square of its length."""

_MAX_NUMBER = 400
"""Characters of a number with a fraction; the longest double that is written out has some 330."""

_SCIENTIFIC = 21
"""Digits before the point from which ECMAScript writes an exponent."""

_SMALLEST_POINT = -6
"""Zeros behind the point, as a negative number, from which it writes one too."""

_ODD_NUMBER = re.compile(rb"[0-9.]{16}|[0-9][eE]|-0")
"""What may be a number that does not come back as it was; a body without it needs no check of its numbers."""


def rewrite(body: bytes, style: Style) -> bytes:
    """Write the value of ``body`` as ``style`` says.

    Raises:
        SignatureRejected: it is too large or not strict JSON in UTF-8 (``signature_malformed``), or there is another
            body that would be written alike and that somebody could read differently (``signature_ambiguous``).
    """
    marks = body.count(b",") + body.count(b":") + body.count(b"{") + body.count(b"[")
    is_canonical = style == "canonical"
    if len(body) > MAX_BODY or marks > (_MAX_CANONICAL_MARKS if is_canonical else MAX_MARKS):
        raise SignatureRejected("signature_malformed")
    is_odd = _ODD_NUMBER.search(body) is not None
    if is_odd and len(_LONG_INTEGER.findall(body)) > _MAX_LONG_INTEGERS:
        raise SignatureRejected("signature_malformed")
    decoder = _CANONICAL if is_canonical else _EXACTING if is_odd else _PLAIN
    try:
        value = decoder.decode(body.decode())
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
    raise SignatureRejected("signature_malformed")  # NaN and Infinity, which are not JSON


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise SignatureRejected("signature_ambiguous")
    return members


def _integer(text: str) -> int:
    if text == "-0":
        raise SignatureRejected("signature_ambiguous")
    return int(text)


def _double(text: str) -> float:
    """Read a number with a fraction or an exponent; refuse one of which a double loses something."""
    number = float(text)
    if abs(number) == float("inf") or len(text) > _MAX_NUMBER:
        raise SignatureRejected("signature_ambiguous")
    exact = Decimal(text)
    if exact != Decimal(repr(number)):
        digits = len("".join(map(str, exact.as_tuple().digits)).strip("0"))
        if digits > _DIGITS_OF_DOUBLE or not number or abs(number) >= _EXACT:
            raise SignatureRejected("signature_ambiguous")
    return number


def _canonical_integer(text: str) -> float:
    """Read an integer as a double; refuse one that it does not hold, unless that is how the double is written."""
    number = float(text)
    if text == "-0" or abs(number) == float("inf"):
        raise SignatureRejected("signature_ambiguous")
    if abs(number) >= _EXACT and int(text) != number and text != _write_number(number):
        raise SignatureRejected("signature_ambiguous")
    return number


def _canonical_double(text: str) -> float:
    number = _double(text)
    if not number and text.startswith("-"):
        raise SignatureRejected("signature_ambiguous")
    return number


_PLAIN = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
_EXACTING = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_double
)
_CANONICAL = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_int=_canonical_integer,
    parse_float=_canonical_double,
)
_WRITERS = {
    "sorted": json.JSONEncoder(sort_keys=True, check_circular=False).encode,
    "sorted_compact": json.JSONEncoder(sort_keys=True, check_circular=False, separators=(",", ":")).encode,
}


def _write(value: Any, pieces: list[str]) -> None:
    """Add a value as RFC 8785 writes it.

    Raises:
        UnicodeEncodeError: a text has half a surrogate pair, which RFC 8785 excludes.
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
    """Write a double as ECMAScript does (ECMA-262, Number::toString)."""
    if number.is_integer() and abs(number) < _EXACT:
        return str(int(number))
    sign, shortest, power = Decimal(repr(number)).as_tuple()
    digits = "".join(map(str, shortest)).rstrip("0")
    point = len(shortest) + int(power)  # where the point stands, from the first digit
    minus = "-" if sign else ""
    if len(digits) <= point <= _SCIENTIFIC:
        return f"{minus}{digits:0<{point}}"
    if 0 < point <= _SCIENTIFIC:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if _SMALLEST_POINT < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{fraction}e{point - 1:+d}"
