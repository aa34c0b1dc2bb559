"""What all signature schemes share: how they are bound to secrets, and strict reading of their fields.

A candidate signature is never decoded. Ours is encoded and compared in constant time, so that junk, other
alphabets, missing padding and non-canonical last characters fail without a rule for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from providers.rejections import SignatureFault, SignatureRejected
from providers.request import Headers, RawRequest

MAX_CANDIDATES = 5
"""Signatures in one request that are looked at; a sender that rotates its secret sends two."""

_DIGITS = re.compile(rb"[0-9]{1,15}")
_LONGEST_SECONDS = 12


class Verifier(Protocol):
    """A scheme bound to its secrets."""

    def verify(self, request: RawRequest, now: float) -> int:
        """The slot, from 0, of the secret that signed ``request``; ``now`` is in Unix seconds.

        Raises:
            SignatureRejected: none did, or not within the tolerance.
        """


class Scheme(Protocol):
    """How one family of senders signs."""

    def bind(self, secrets: Sequence[str]) -> Verifier:
        """A verifier for the given active secrets.

        Raises:
            SecretFormatError: a secret is not in the format of the scheme.
        """

    def sign(self, request: RawRequest, secret: str, now: float) -> dict[str, str]:
        """The header fields that a sender who knows ``secret`` adds to ``request`` at ``now``."""


def single(headers: Headers, name: bytes, missing: SignatureFault) -> bytes:
    """The value of a field that the verdict depends on.

    Raises:
        SignatureRejected: it is absent or empty (``missing``), or stands there twice.
    """
    if headers.is_repeated(name):
        raise SignatureRejected("signature_ambiguous")
    value = headers.get(name)
    if not value:
        raise SignatureRejected(missing)
    return value


def longest_timestamp(units_per_second: int) -> int:
    """The number of digits that a moment has at most, in a unit."""
    return _LONGEST_SECONDS + len(str(units_per_second)) - 1


def read_timestamp(text: bytes, longest: int) -> int:
    """A signed timestamp: ASCII digits and nothing else.

    Raises:
        SignatureRejected: it is empty, or has signs, spaces, fractions, exponents, other digits, or more than
            ``longest`` of them.
    """
    if not text:
        raise SignatureRejected("timestamp_missing")
    if len(text) > longest or not _DIGITS.fullmatch(text):
        raise SignatureRejected("timestamp_malformed")
    return int(text)


def check_tolerance(timestamp: float, now: float, tolerance: float) -> None:
    """Refuse a signature made more than ``tolerance`` seconds before or after ``now``.

    Raises:
        SignatureRejected: it is too old, or in the future.
    """
    age = int(now) - timestamp
    if age > tolerance:
        raise SignatureRejected("timestamp_too_old")
    if -age > tolerance:
        raise SignatureRejected("timestamp_in_future")
