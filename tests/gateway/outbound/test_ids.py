"""Ids of the way out."""

from __future__ import annotations

import re

import pytest

from gateway.outbound.ids import Ids, first_id, message_id, moment_of, renewed_id, shard_of


@pytest.mark.parametrize(
    ("tenant", "source", "event_id", "expected"),
    [
        ("acme", "/agents/billing-agent", "evt_01JDKQ4T7V9X2B4D6F8H0K2M4N", "msg_o24sc5dlfh5h2ymbkkjywnftgc"),
        ("acme", "/agents/audit", "evt_2", "msg_o6qhmytumyq4sllqjpggripofx"),
    ],
)
def test_an_event_has_the_same_message_each_time(
    tenant: str, source: str, event_id: str, expected: str
) -> None:
    """The id that receivers know it by; texts that only run together differently are other events."""
    assert message_id(tenant, source, event_id) == expected
    assert message_id(tenant, f"{source}e", event_id[1:]) != expected
    assert message_id(tenant, source, "\ud800") != message_id(tenant, source, "?")


def test_ids_grow_with_time() -> None:
    """Within a millisecond, and where the clock goes back."""
    ids = Ids()
    moments = [
        1_800_000_000.0,
        1_800_000_000.0,
        1_800_000_000.0,
        1_799_999_990.0,
        1_800_000_000.001,
        1_900_000_000.0,
    ]
    made = [ids.new("dlv", moment) for moment in moments]

    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"dlv_[0-7][0-9A-HJKMNP-TV-Z]{25}", each) for each in made)


def test_an_id_has_its_moment() -> None:
    """So that a thing is found by when it was made."""
    ids = Ids()
    made = ids.new("att", 1_795_251_502.25)

    assert moment_of(made) == 1_795_251_502.25
    assert first_id("att", 1_795_251_502.25) <= made < first_id("att", 1_795_251_502.251)
    assert first_id("att", -5.0) == "att_" + "0" * 26
    for far in (1e15, 1e308, float("inf")):
        assert first_id("att", far).startswith("att_7ZZZZZZZZZ")
    assert first_id("att", float("nan")) == first_id("att", -1e308) == "att_" + "0" * 26
    assert [moment_of(each) for each in ("", "att_1", "att_" + "u" * 26, made[:-1])] == [None] * 4


def test_processes_do_not_make_the_same_id() -> None:
    """Each draws 80 random bits."""
    assert len({Ids().new("ep", 1_800_000_000.0) for _ in range(1000)}) == 1000


def test_shards_are_the_first_byte_of_a_digest() -> None:
    """All processes agree, and endpoints are spread."""
    assert shard_of("abc") == 0xBA  # the first example of FIPS 180-2
    assert len({shard_of(f"ep_{number}") for number in range(5000)}) == 256


def test_an_id_is_renewed_once_for_a_replay() -> None:
    """Whoever asks, and however often; it is in the form of the first."""
    first = message_id("default", "/stripe", "evt_1")

    assert re.fullmatch("msg_[a-z2-7]{26}", renewed_id(first, "op_1"))
    assert renewed_id(first, "op_1") == renewed_id(first, "op_1") != renewed_id(first, "op_2")
