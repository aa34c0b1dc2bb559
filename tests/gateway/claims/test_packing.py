"""What is packed is unpacked, until the hour in which it is forgotten, and no two events are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.claims import claim_key
from gateway.claims.packing import (
    MAX_BITS,
    MAX_RETENTION,
    MIN_BITS,
    bits_in,
    hash_key,
    hour_of,
    more_bits,
    packed_value,
    place_of,
    unpack,
    with_bits,
)

NOW = 1_796_000_000.0
TIMES = st.floats(NOW, NOW + 3e8)


@given(now=TIMES, retention=st.floats(1, MAX_RETENTION), content=st.text("abc-_0", max_size=15))
def test_an_event_is_remembered_for_its_retention_and_at_most_an_hour_more(
    now: float, retention: float, content: str
) -> None:
    """With the content that identifies it, whatever the hour of the day or the year is."""
    value = packed_value(now + retention, content)

    expected = b"done:%b" % content.encode() if content else b"done"
    assert unpack(value, hour_of(now)) == expected
    assert unpack(value, hour_of(now + retention)) == expected
    assert unpack(value, hour_of(now + retention + 3600)) is None


@given(hour=st.integers(0, 10**6))
def test_a_value_without_content_takes_three_bytes_of_a_hash(hour: int) -> None:
    """It is an integer of 13 bits."""
    assert -4096 <= int(packed_value(hour * 3600.0, "")) <= 4095


def test_an_event_is_identified_by_100_bits() -> None:
    """Twelve of its hash and 88 of its field: a false duplicate would lose an event."""
    digits = "f" * 40
    number, field = place_of(f"whgw:1:acme:{digits}")
    places = set()
    for bit in range(160):
        other = f"{int(digits, 16) ^ 1 << bit:040x}"
        other_number, other_field = place_of(f"whgw:1:acme:{other}")
        is_other = hash_key(MIN_BITS, other_number) != hash_key(MIN_BITS, number) or other_field != field
        places |= {bit} if is_other else set()

    assert len(places) == 100


def test_equal_ids_of_two_providers_are_two_events() -> None:
    """In another hash or under another field; the same in every process."""
    assert place_of(claim_key("github", "1")) != place_of(claim_key("gitlab", "1"))
    assert place_of("whgw:1:acme:" + "0" * 40)[1].hex() == "b8e641721de3d23a1ad1ea"


def test_more_hashes_divide_those_that_there_were() -> None:
    """Each number of bits has keys of its own."""
    number, _ = place_of(claim_key("github", "1"))
    keys = {hash_key(bits, number) for bits in range(MIN_BITS, MAX_BITS + 1)}

    assert len(keys) == MAX_BITS + 1 - MIN_BITS


def test_older_hashes_are_asked_until_they_have_expired() -> None:
    """The newest first."""
    layout = with_bits(with_bits(with_bits(None, 12, 900), 16, 1000), 18, 1100)

    assert bits_in(None, 2000, 100) == (MIN_BITS,)
    assert bits_in(layout, 1100, 100) == (18, 16, 12)
    assert bits_in(layout, 1101, 100) == (18, 16)
    assert bits_in(layout, 1201, 100) == (18,)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0, 16), (1, 16), (9, 16), (10, 16), (20, 15), (40, 14), (100, 13), (10_000, 13)],
)
def test_the_faster_hashes_become_long_the_more_of_them_there_are(hours: int, expected: int) -> None:
    """As many as the events of a retention need at that rate, and at most sixteen times as many at once."""
    assert more_bits(with_bits(None, 12, 1000), 1000 + hours, 146) == expected
    assert more_bits(with_bits(None, MAX_BITS - 1, 1000), 1000 + hours, 146) == MAX_BITS
