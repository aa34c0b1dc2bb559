"""The shape of a payload: enough to recognize it by, and nothing of its values."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.events.shapes import shape_of


def test_a_shape_has_names_types_and_lengths() -> None:
    """In the order of the payload."""
    payload = {
        "id": "evt_1",
        "paid": True,
        "total": 12,
        "rate": 1.5,
        "note": None,
        "empty": "",
        "lines": [{"sku": "abc"}, {"sku": "xyz"}, {"gift": False}],
        "none": [],
    }
    assert shape_of(payload) == {
        "id": "string, 5 characters",
        "paid": "boolean",
        "total": "integer",
        "rate": "number",
        "note": "null",
        "empty": "empty string",
        "lines": [{"sku": "string, 3 characters"}, {"gift": "boolean"}, "3 items"],
        "none": [],
    }


def test_a_shape_is_bounded() -> None:
    """However deep and wide the payload is."""
    deep: Any = "x"
    for _ in range(50):
        deep = {"a": [deep]}
    wide = {f"name-{number}": number for number in range(5000)} | {"x" * 5000: 1}

    assert len(json.dumps(shape_of(deep))) < 200
    assert shape_of(wide)["…"] == "4,901 more names"


@given(st.text("0123456789", min_size=6, max_size=20), st.integers(10**6, 10**12))
def test_no_value_is_in_a_shape(text: str, number: int) -> None:
    """Strings and numbers of customers."""
    shape = json.dumps(shape_of({"a": text, "b": [number, {"c": text}]}))
    assert text not in shape
    assert str(number) not in shape
