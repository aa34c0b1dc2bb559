"""Conditions on events: what is wrong with one is told in one line."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.events.conditions import BadCondition, compile_where


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"data": {"eq": 1}}, "^data is no JSON pointer"),
        ({"/a~2": {"eq": 1}}, "is no JSON pointer"),
        ({"": {"eq": 1}}, "^'' is no JSON pointer"),
        ({"/a\x1b[2J" + "x" * 300: {"eq": 1}}, r"x1b\[2J"),
        ({"/a": "x"}, "^/a: is no comparison"),
        ({"/a": {}}, "^/a: is no comparison"),
        ({"/a": {"like": "x"}}, "^/a: like is no operator; there are eq, ne"),
        ({"/a": {"eq": {}}}, "^/a: eq has to be a text, a number"),
        ({"/a": {"eq": "x" * 1025}}, "longer than 1024"),
        ({"/a": {"in": "abc"}}, "^/a: in has to be a list"),
        ({"/a": {"in": []}}, "has to be a list"),
        ({"/a": {"in": [[]]}}, "has to be a text, a number"),
        ({"/a": {"not_in": list(range(101))}}, "more than 100 values"),
        ({"/a": {"exists": 1}}, "^/a: exists has to be true or false"),
        ({"/a": {"prefix": ""}}, "has to be a text of 1"),
        ({"/a": {"gt": True}}, "^/a: gt has to be a number"),
        ({"/a": {"lte": None}}, "^/a: lte has to be a number"),
        ({f"/{number}": {"eq": 1} for number in range(17)}, "^has more than 16 conditions"),
    ],
)
def test_a_mistake_is_told_with_its_place(where: dict[str, Any], reason: str) -> None:
    """Also in the second of two alternatives, and whatever somebody wrote."""
    with pytest.raises(BadCondition, match=reason) as refusal:
        compile_where([{}, where])

    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 500
