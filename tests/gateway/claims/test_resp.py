"""Packed commands are byte for byte those of hiredis, which is held against real servers by everybody."""

from __future__ import annotations

import hiredis
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.claims.resp import Value, pack

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES: st.SearchStrategy[Value] = TEXTS | st.binary(max_size=40) | st.integers()


def by_hiredis(command: tuple[Value, ...]) -> bytes:
    """The command as hiredis packs it."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # the stub says a tuple of one
    return packed


@given(key=TEXTS, value=st.binary(max_size=300), options=st.lists(VALUES, max_size=5))
@example(key="whgw:github:é", value=b"pending:%b\r\n", options=["NX", "PX", "30000", "GET"])
@example(key="", value=b"", options=["$0\r\n\r\n$0\r\n\r\n", "%d"])
def test_a_set_is_packed_as_by_hiredis(key: str, value: bytes, options: list[Value]) -> None:
    """Whatever is in it, percent signs and ends of lines included."""
    command = "SET", key, value, *options
    assert pack(command) == by_hiredis(command)


@given(
    name=st.sampled_from(["HMGET", "HSET"]),
    parts=st.lists(VALUES | st.binary(max_size=40), min_size=3, max_size=4),
)
@example(name="HMGET", parts=[b"whgw:2:12:a%d", b"\r\n%b", b""])
def test_a_command_of_hashes_is_packed_as_by_hiredis(name: str, parts: list[Value]) -> None:
    """Of bytes, as claims have them, or of anything else."""
    assert pack((name, *parts)) == by_hiredis((name, *parts))


@given(command=st.lists(VALUES, min_size=1, max_size=6))
def test_any_other_command_is_packed_as_by_hiredis(command: list[Value]) -> None:
    """Also a SET whose parts are of other types."""
    assert pack(tuple(command)) == by_hiredis(tuple(command))
    if len(command) > 2:
        assert pack(("SET", *command)) == by_hiredis(("SET", *command))
