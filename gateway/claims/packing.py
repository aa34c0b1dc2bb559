"""How published events are packed in Redis: which hash has an event, under which field, and until when.

Goal: a finished claim takes 20 bytes of Redis' memory at most. A key of its own takes 165.

Plan: a hash that stays small is one piece of memory, its fields side by side, and the server reads through it. So events
are spread over many hashes by the first bits of their digest, and a field is 88 further bits. When hashes become too
long, new events go to more of them; a claim asks the old ones, too, until they have expired. The number of hashes is kept
in Redis, under :data:`LAYOUT_KEY`, and is only ever raised.

An event is identified by 100 bits or more: 12 or more of its hash and 88 of its field. A false duplicate would lose an
event; with :data:`MAX_LENGTH` events in a hash its odds are 1 in 10^24 for each new event.

The value is the hour in which the event is forgotten, by the clocks of the gateways, which :mod:`gateway.claims.clock_skew`
compares. Hours are counted modulo 8192, so that they take three bytes.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from math import ceil, log2

from gateway.claims import done_value

PREFIX = "whgw:2"
"""The start of the key of everything packed."""

LAYOUT_KEY = f"{PREFIX}:layout"
"""The key under which the gateways agree on the number of hashes."""

PROBE_KEY = f"{PREFIX}:"
"""A hash that no event has, to find out whether this user may use hashes."""

MIN_BITS = 12
"""The bits of the digest that choose among the first hashes: 4,096, which are enough for two events a second."""

MAX_BITS = 32
"""The bits that choose a hash at most: enough for 10^11 events."""

MAX_STEP = 4
"""The bits by which their number is raised at most. What one busy hour needs may be far too many later: then a hash takes
more memory than what is in it."""

MAX_LENGTH = 192
"""Events in a hash, on average, beyond which there are more hashes: the server takes 8 ns to pass one (2026-11). Redis 7
packs hashes of up to 512 (``hash-max-listpack-entries``)."""

MAX_RETENTION = 4_000 * 3600.0
"""Seconds for which an event can be remembered in packed form; an hour further away would look like one in the past."""

_DIGEST_BITS = 160
"""The bits of the digest in a claim's key."""

_FIELD_BYTES = 11
"""The bytes of a field. Its bits are none of those that choose the hash."""

_FIELD_MASK = (1 << 8 * _FIELD_BYTES) - 1
_HOURS = 8192
"""Hours are counted modulo this number. As integers from -4096 to 4095 they take three bytes in a hash."""

# KEYS: hash. ARGV: this hour; the mark of this hour; milliseconds until the hash expires. Removes what is forgotten.
# The field with an empty name is the mark, and the first of its hash: it is found at once.
UPKEEP = (
    "local all, gone, now = redis.call('HGETALL', KEYS[1]), {}, ARGV[1] - 4095 "
    "for i = 2, #all, 2 do "
    "  local hour = tonumber(all[i]) or tonumber(string.match(all[i], '^-?%d+')) or now "
    "  if (hour - now) % 8192 >= 4096 and all[i - 1] ~= '' then gone[#gone + 1] = all[i - 1] end "
    "end "
    "for i = 1, #gone, 1000 do redis.call('HDEL', KEYS[1], unpack(gone, i, math.min(i + 999, #gone))) end "
    "redis.call('HSET', KEYS[1], '', ARGV[2]) redis.call('PEXPIRE', KEYS[1], ARGV[3]) "
    "return #gone"
)


@lru_cache(1024)  # a claim and its commit need it, one soon after the other
def place_of(key: str) -> tuple[int, bytes]:
    """Return the number that chooses the hash of an event, and its field.

    Args:
        key: From :func:`gateway.claims.claim_key`.
    """
    prefix, _, digest = key.rpartition(":")
    number = int(digest, 16) ^ _salt(prefix)
    return number, (number & _FIELD_MASK).to_bytes(_FIELD_BYTES, "big")


@lru_cache(1024)
def _salt(prefix: str) -> int:
    """Return what tells equal ids of two providers apart."""
    return int.from_bytes(sha256(prefix.encode()).digest()[: _DIGEST_BITS // 8], "big")


@lru_cache(1024)  # as above
def hash_key(bits: int, number: int) -> bytes:
    """Return the key of the hash that has an event, among ``2 ** bits``."""
    return b"whgw:2:%d:%x" % (bits, number >> _DIGEST_BITS - bits)


def hour_of(time: float) -> int:
    """Return the hour of a time in Unix seconds."""
    return int(time // 3600)


def mark_of(hour: int) -> bytes:
    """Return the mark of a hash from which forgotten events were last removed in this hour."""
    return b"%d" % (hour % _HOURS - _HOURS // 2)


def packed_value(forgotten_at: float, content: str) -> bytes:
    """Return the value of an event that is forgotten at this time, or up to an hour later."""
    hour = _hour_after(forgotten_at // 3600)
    return b"%b:%b" % (hour, content.encode()) if content else hour


@lru_cache(64)  # it recurs for an hour, for each retention
def _hour_after(hour: float) -> bytes:
    return mark_of(int(hour) + 1)


def unpack(value: bytes, hour: int) -> bytes | None:
    """Return the value as under a key of its own, or None if the event is forgotten in this hour."""
    forgotten, _, content = value.partition(b":")
    if (int(forgotten) + _HOURS // 2 - 1 - hour) % _HOURS >= _HOURS // 2:
        return None
    return done_value(content.decode())


def with_bits(layout: bytes | None, bits: int, hour: int) -> bytes:
    """Return the layout with a further number of bits, used from this hour on."""
    return b"%b%d@%d " % (layout or b"", bits, hour)


def bits_in(layout: bytes | None, hour: int, kept_hours: int) -> tuple[int, ...]:
    """Return the numbers of bits by which events are spread at the moment, the newest first.

    Args:
        layout: What is under :data:`LAYOUT_KEY`: ``<bits>@<hour>`` for each number and since when it is used.
        hour: This hour.
        kept_hours: After how many hours without new events a hash has expired.
    """
    eras = _eras(layout)
    ends = [since for _, since in eras[1:]] + [hour]
    return tuple(bits for (bits, _), end in zip(eras, ends, strict=True) if end + kept_hours >= hour)[::-1]


def more_bits(layout: bytes | None, hour: int, hours: int) -> int:
    """Return the number of bits that suits the rate at which the hashes have become long.

    Args:
        layout: What is under :data:`LAYOUT_KEY`.
        hour: This hour.
        hours: How long an event stays in its hash.
    """
    bits, since = _eras(layout)[-1]
    expected = hours / max(1, hour - since)  # times as many events as now, at the same rate
    return min(bits + min(max(1, ceil(log2(expected))), MAX_STEP), MAX_BITS)


def _eras(layout: bytes | None) -> list[tuple[int, int]]:
    words = [word.partition(b"@") for word in (layout or b"").split()]
    return [(int(bits), int(since)) for bits, _, since in words] or [(MIN_BITS, 0)]
