"""The ids of the way out: a prefix and a ULID, or a digest where the same event has to have the same id.

No id contains a full stop, which separates the parts of the signed text. See https://github.com/ulid/spec.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from functools import lru_cache

from gateway.outbound.models import SHARDS

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, in the order of its values, so that ids sort by their moment."""

_RANDOM_BITS = 80
"""The random bits of a ULID, below its 48 bits of milliseconds."""

_LENGTH = 26
"""The characters of a ULID, and of the digest in the id of a message."""

_TIME_LENGTH = 10
"""The characters of a ULID that are its moment."""

_DIGEST_BYTES = 20
"""The bytes of a digest that have these characters, in whole groups of base 32."""

_MAX_SHARDS_KNOWN = 65_536
"""Endpoints whose shard is remembered."""

_MAX_MILLISECONDS = 2**48 - 1
"""The last moment that a ULID can have."""


class Ids:
    """Makes ids that grow within a process, also where the clock goes back or many are made in a millisecond."""

    def __init__(self) -> None:
        self._last = 0

    def new(self, prefix: str, at: float) -> str:
        """Return an id such as `dlv_01JDKQ4T7V9X2B4D6F8H0K2M4N`.

        Args:
            prefix: What it is the id of: `ep`, `sec`, `dlv`, `att` or `op`.
            at: When the thing was made, in Unix seconds: the store finds things by the moment in their ids.
        """
        moment = _milliseconds(at)
        if moment > self._last >> _RANDOM_BITS:
            self._last = moment << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        else:
            self._last += 1
        return f"{prefix}_{_text_of(self._last)}"


def first_id(prefix: str, at: float) -> str:
    """Return the smallest id that :class:`Ids` makes of things of a moment, in Unix seconds."""
    return f"{prefix}_{_text_of(_milliseconds(at) << _RANDOM_BITS)}"


def moment_of(id_: str) -> float | None:
    """Return the moment in an id of :class:`Ids`, in Unix seconds; None if it is another id."""
    text = id_.partition("_")[2]
    if len(text) != _LENGTH or not set(text) <= set(_ALPHABET):
        return None
    number = 0
    for letter in text[:_TIME_LENGTH]:
        number = number << 5 | _ALPHABET.index(letter)
    return number / 1000


def message_id(tenant: str, source: str, event_id: str) -> str:
    """Return the id of the message of an event: the same each time that it is published.

    It is `msg_` and the first 26 characters of lower-case base32 of SHA-256 of the three, joined by line feeds.
    """
    return _digest_id(f"{tenant}\n{source}\n{event_id}")


def renewed_id(message: str, operation: str) -> str:
    """Return the id by which a receiver takes a message for a new one: the same for all attempts of a bulk replay."""
    return _digest_id(f"{message}\n{operation}")


@lru_cache(_MAX_SHARDS_KNOWN)
def shard_of(endpoint: str) -> int:
    """Return the shard of an endpoint: the first byte of SHA-256 of its id."""
    return hashlib.sha256(endpoint.encode()).digest()[0] % SHARDS


def _digest_id(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return f"msg_{base64.b32encode(digest[:_DIGEST_BYTES])[:_LENGTH].decode().lower()}"


def _milliseconds(at: float) -> int:
    # In this order, because somebody may ask for what is not a number, or for a moment that no whole number has.
    return min(int(min(max(0.0, at), _MAX_MILLISECONDS) * 1000), _MAX_MILLISECONDS)


def _text_of(number: int) -> str:
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)])
