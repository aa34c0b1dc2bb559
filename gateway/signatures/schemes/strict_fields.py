"""Strict reading of the fields that a verdict depends on: one value each, in one spelling.

A candidate signature is never decoded before it is compared. The expected one is encoded and compared in constant time,
so that junk, other alphabets, missing padding and non-canonical last characters fail without a rule for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.signatures.rejections import MalformedRequest, SignatureFault, SignatureRejected
from gateway.signatures.request import Headers

MAX_CANDIDATES = 5
"""Signatures of one request that are compared. A sender that rotates its secret sends two."""

MAX_ELEMENTS = 32
"""Elements of a list in one header field. Senders put a timestamp and a few signatures in it."""

_MAX_SECONDS_DIGITS = 12
"""Digits of a timestamp in Unix seconds: enough for 30,000 years, and few enough that int() is cheap."""


def single(headers: Headers, name: bytes, missing: SignatureFault) -> bytes:
    """Return the value of a header field that must be present exactly once.

    Raises:
        SignatureRejected: The field is absent or empty (``missing``), or it is repeated.
    """
    try:
        value = headers.get(name)
    except MalformedRequest:
        raise SignatureRejected("signature_ambiguous") from None
    if not value:
        raise SignatureRejected(missing)
    return value


def json_object(text: bytes) -> dict[str, Any]:
    """Parse a small JSON object, such as the header of a token.

    Raises:
        SignatureRejected: The text is not JSON, or not an object.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if type(value) is not dict:
        raise SignatureRejected("signature_malformed")
    return value


def join_signed(parts: Sequence[bytes]) -> bytes:
    """Join the signed parts such that no two lists of parts give the same bytes."""
    return parts[0] if len(parts) == 1 else b"".join([b"%d:%b" % (len(part), part) for part in parts])


def split_elements(
    value: bytes, separator: bytes, fault: SignatureFault = "too_many_signatures"
) -> list[bytes]:
    """Split a list in a header field into its elements.

    Raises:
        SignatureRejected: There are more than :data:`MAX_ELEMENTS` elements (``fault``).
    """
    elements = value.split(separator, MAX_ELEMENTS)
    if len(elements) > MAX_ELEMENTS:
        raise SignatureRejected(fault)
    return elements


def longest_timestamp(units_per_second: int) -> int:
    """Return the maximum number of digits of a timestamp in a unit."""
    return _MAX_SECONDS_DIGITS + len(str(units_per_second)) - 1


def read_timestamp(text: bytes, longest: int) -> int:
    """Parse a signed timestamp, which consists of ASCII digits only.

    Raises:
        SignatureRejected: The text is empty, is longer than ``longest``, has other characters (signs, spaces, fractions,
            exponents), or has leading zeros: these could be the end of the signed field before it.
    """
    if not text:
        raise SignatureRejected("timestamp_missing")
    if len(text) > longest or not text.isdigit() or text.startswith(b"0"):
        raise SignatureRejected("timestamp_malformed")
    return int(text)


def check_tolerance(timestamp: float, now: float, tolerance: float) -> None:
    """Refuse a signature made more than ``tolerance`` seconds before or after ``now``.

    Raises:
        SignatureRejected: The timestamp is too old, or too far in the future.
    """
    age = int(now) - timestamp
    if age > tolerance:
        raise SignatureRejected("timestamp_too_old")
    if -age > tolerance:
        raise SignatureRejected("timestamp_in_future")
