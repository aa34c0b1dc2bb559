"""Where Redis keeps finished claims: in small hashes that expire as a whole.

A key of its own takes 165 bytes. So a finished claim becomes one field of a hash, its *bucket*: the name is five bytes
of the event's digest, the value is the moment and six bytes more. Redis stores a hash of up to 512 short fields as one
string, so a claim takes 16 bytes and its share of the bucket. The digest also chooses the bucket, out of 4,096 at least:
two events are taken for one only if 100 bits are equal.

Redis cannot expire a field, so buckets belong to a *generation*. A generation takes claims for one retention and is
asked for one more; then its buckets expire. Each value has the moment of its commit, to a 128th of the retention, by
which a claim is remembered for the retention and hardly longer. The next generation has as many buckets as the last one
would have needed to hold :data:`TARGET_CLAIMS` each. If one fills too early, the next one starts at once.

The generations of a *group* (a provider's claims, or its marks) are listed in a hash, ``whgw:2:<group>``, by number.
``HSETNX`` lets one gateway add the next number. Everything here is pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

PREFIX = b"whgw:2:"
"""The start of the keys of buckets and of lists of generations, with the version of the format."""

MIN_BUCKETS = 4096
"""The buckets of a generation at least: twelve bits of the digest, and room for the first burst of a new provider."""

MAX_BUCKETS = 1 << 26
"""The buckets of a generation at most: a bound on what a wrong estimate can do."""

TARGET_CLAIMS = 128
"""Claims in a bucket at the end of its generation. Fewer waste memory on keys; a lookup reads half of them on average."""

FULL_CLAIMS = 2 * TARGET_CLAIMS
"""Claims in a bucket after which a new generation starts. Far below 512, where Redis changes to a larger encoding."""

_MAX_GROWTH = 64
"""How many times as many buckets a generation may have as the last: a burst is no rate."""

_MOMENTS = 128
"""The parts of a retention that a value can tell apart. A byte counts up to two retentions."""

MAX_SKEW = 60.0
"""Seconds by which the clocks of two gateways may differ; with more a gateway is not ready."""

_FIELD = slice(4, 9)
_REST = slice(9, 15)

_GROUP_START = len("whgw:1:")
"""Where the group begins in the key of a claim."""

_DIGEST_DIGITS = 40
"""The hexadecimal digits at the end of the key of a claim."""

_VALUE_LENGTH = 7
"""The bytes of a value: the moment, and the rest of the digest."""


class Place(NamedTuple):
    """What the digest of an event says about its claim.

    Attributes:
        position: Chooses the bucket: 32 bits.
        field: The name of its field.
        rest: What the value of the field has besides the moment, without a content.
    """

    position: int
    field: bytes
    rest: bytes


class Generation(NamedTuple):
    """Claims that were finished within one span of time.

    Attributes:
        number: Its number in the list.
        start: When it began to take claims, in Unix seconds.
        retention: Seconds that its claims are remembered.
        buckets: The number of its buckets.
    """

    number: int
    start: int
    retention: int
    buckets: int

    def bucket(self, position: int) -> int:
        """Return the number of the bucket at a position."""
        return position * self.buckets >> 32

    def key(self, group: bytes, bucket: int) -> bytes:
        """Return the key of a bucket. All generations of a bucket have one hash tag."""
        return b"%b{%b:%07x}:%x" % (PREFIX, group, bucket, self.start)

    def moment(self, now: float) -> int:
        """Return the byte for a commit at ``now``."""
        return min(255, max(0, int((now - self.start) * _MOMENTS / self.retention)))

    def remembers(self, value: bytes, now: float) -> bool:
        """Return whether the claim with this value is still remembered."""
        if len(value) != _VALUE_LENGTH:  # no gateway wrote it
            return False
        committed_at = self.start + (value[0] + 1) * self.retention / _MOMENTS
        return now < committed_at + self.retention + self.tolerance

    def is_over(self, now: float) -> bool:
        """Return whether another generation has to take the claims from now on."""
        return now >= self.start + self.retention

    @property
    def tolerance(self) -> float:
        """Seconds that claims are remembered longer, because the clock of another gateway may be ahead."""
        return min(MAX_SKEW, self.retention / 64)

    def expires_at(self, lease: float) -> int:
        """Return when its buckets expire, in Unix seconds: when nothing can be remembered any more."""
        # A gateway may not have heard of the next generation yet: it knows the list for a lease at most.
        return int(self.start + 2 * self.retention + self.retention / 64 + 2 * MAX_SKEW + 2 * lease) + 1

    def encode(self) -> bytes:
        """Return the value in the list."""
        return b"%d %d %d" % (self.start, self.retention, self.buckets)


def group_of(key: str) -> str:
    """Return the group of a claim's key."""
    return key[_GROUP_START:].rpartition(":")[0]


def place_of(key: str) -> Place:
    """Return the place of a claim in the generations of its group."""
    try:
        digest = bytes.fromhex(key[-_DIGEST_DIGITS:])
    except ValueError:
        digest = b""
    if len(digest) * 2 != _DIGEST_DIGITS:  # not made by claim_key
        digest = sha256(key.rpartition(":")[2].encode()).digest()
    # Not by its own __new__, which is Python and would take as long as all the rest.
    return tuple.__new__(Place, (int.from_bytes(digest[:4], "big"), digest[_FIELD], digest[_REST]))


def with_content(rest: bytes, content: str) -> bytes:
    """Return the rest of a value, for an event that its id and its content identify together."""
    if not content:
        return rest
    digest = sha256(content.encode()).digest()
    return bytes(own ^ other for own, other in zip(rest, digest, strict=False))


def parse(listing: Mapping[bytes, bytes]) -> list[Generation]:
    """Return the generations of a list, the newest first. What no gateway wrote is left out."""
    generations = []
    for field, value in listing.items():
        numbers = [field, *value.split()]
        if len(numbers) == 4 and all(number.isdigit() for number in numbers):
            generation = Generation(*map(int, numbers))
            if generation.retention and MIN_BUCKETS <= generation.buckets <= MAX_BUCKETS:
                generations.append(generation)
    return sorted(generations, reverse=True)


def current(generations: Iterable[Generation], retention: int) -> Generation | None:
    """Return the generation that takes claims with this retention; None if there is none yet."""
    return next((each for each in generations if each.retention == retention), None)


def live(generations: list[Generation], lease: float, now: float) -> list[Generation]:
    """Return the generations that may have claims that are still remembered, of those in a list."""
    kept, ends = [], dict[int, float]()
    for each in generations:
        taken_until = ends.get(each.retention, each.start + each.retention + lease)
        limit = taken_until + lease + each.retention * (1 + 1 / _MOMENTS) + 2 * each.tolerance
        if now < limit:
            kept.append(each)
        ends[each.retention] = each.start
    return kept


def following(
    generations: list[Generation], retention: int, now: float, claims_in_bucket: float
) -> Generation:
    """Return the generation to start now, after those in the list.

    Args:
        generations: The list, the newest first.
        retention: Seconds that its claims are remembered.
        now: Unix seconds.
        claims_in_bucket: The claims in a bucket of the current generation with this retention, on average.
    """
    number = generations[0].number + 1 if generations else 1
    buckets = MIN_BUCKETS
    if last := current(generations, retention):
        age = max(1.0, min(now - last.start, retention))
        needed = claims_in_bucket * last.buckets * retention / age / TARGET_CLAIMS
        buckets = int(min(max(needed, MIN_BUCKETS), last.buckets * _MAX_GROWTH, MAX_BUCKETS))
    return Generation(number, int(now), retention, buckets)


def is_due(last: Generation | None, now: float, claims_in_bucket: float) -> bool:
    """Return whether a new generation has to start."""
    return last is None or last.is_over(now) or claims_in_bucket > FULL_CLAIMS
