"""Ids of entries as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.entry_ids import format_entry_id, parse_entry_id

_IDS = st.integers(0, 2**63 - 1)


@given(_IDS, _IDS)
def test_texts_sort_as_the_numbers(one: int, other: int) -> None:
    """And each is read as the number that it was."""
    assert (format_entry_id(one) < format_entry_id(other)) == (one < other)
    assert parse_entry_id(format_entry_id(one).upper()) == one


@pytest.mark.parametrize(
    "text", ["", "1", "0" * 12, "0" * 14, "000000000000u", "000000000000-", "z" * 13, "８" * 13]
)
def test_what_is_no_id(text: str) -> None:
    """Too short, too long, too large, or with a character that is no digit."""
    with pytest.raises(ValueError, match="the id of an entry"):
        parse_entry_id(text)


def test_letters_that_look_like_digits() -> None:
    """Are read as those."""
    assert parse_entry_id("oooooooooooiL") == 33
