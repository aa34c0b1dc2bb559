"""Durations, sizes and rates as people write them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.signatures.units import Duration, Size, format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300s", 300.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("12h", 43200.0),
        ("4d", 345600.0),
        ("0.001s", 0.001),
        ("007s", 7.0),
        ("0.5d", 43200.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """In seconds, whatever the unit."""
    assert parse_duration(text) == pytest.approx(seconds)


NO_DURATIONS = [
    "",
    "5",
    "s",
    "0s",
    "0.000s",
    "-5s",
    "+5s",
    "5 s",
    " 5s",
    "5s ",
    "5s\n",
    "5S",
    "5M",
    "5w",
    "5sec",
    "1h30m",
    "1e3s",
    "1_000s",
    ".5s",
    "5.s",
    "1.2345s",
    "1,5s",
    "9999999999s",
    "infs",
    "nans",
    "\uff15s",
    "\u0665s",
    5,
    5.0,
    True,
    None,
    b"5s",
    ["5s"],
]


@pytest.mark.parametrize("value", NO_DURATIONS, ids=repr)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A number without a unit above all."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("64KiB", 65536),
        ("1MiB", 1048576),
        ("2GiB", 2147483648),
        ("1KB", 1000),
        ("1MB", 1000000),
        ("2GB", 2000000000),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    """In bytes; the units with an i are powers of two."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "value",
    [
        "",
        "5",
        "0B",
        "0MiB",
        "-1B",
        "1.5MiB",
        "1 MiB",
        "1mib",
        "1kb",
        "1K",
        "1M",
        "1MiB\n",
        "1TiB",
        "\uff11B",
        5,
        True,
        None,
    ],
    ids=repr,
)
def test_what_is_no_size_is_refused(value: object) -> None:
    """A number without a unit above all."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (300.0, "5m"),
        (301.0, "301s"),
        (3600.0, "1h"),
        (5400.0, "90m"),
        (86400.0, "1d"),
        (259200.0, "3d"),
        (273600.0, "76h"),
        (1.5, "1500ms"),
        (0.25, "250ms"),
        (1.0, "1s"),
    ],
)
def test_a_duration_is_written_as_short_as_can_be(seconds: float, text: str) -> None:
    """In the largest unit of which it is a whole number."""
    assert format_duration(seconds) == text


@given(st.integers(1, 10**9 - 1))
def test_a_duration_in_milliseconds_survives_its_way(milliseconds: int) -> None:
    """Written and read again."""
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@given(st.integers(1, 10**9 - 1), st.sampled_from(["s", "m", "h", "d"]))
def test_a_duration_in_any_unit_survives_its_way(number: int, unit: str) -> None:
    """Read, written and read again."""
    seconds = parse_duration(f"{number}{unit}")
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    """And a duration is positive."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds > 0


class Model(BaseModel):
    """Both units as the configuration has them."""

    duration: Duration = 300.0
    size: Size = 1024


def test_a_model_reads_and_writes_them() -> None:
    """With the unit on either way for durations."""
    model = Model.model_validate({"duration": "90s", "size": "2KiB"})
    assert (model.duration, model.size) == (90.0, 2048)
    assert model.model_dump(include={"duration"}) == {"duration": "90s"}
    with pytest.raises(ValidationError, match="is not a duration"):
        Model.model_validate({"duration": 90})
    with pytest.raises(ValidationError, match="is not a size"):
        Model.model_validate({"size": 2048})


@pytest.mark.parametrize(("kind", "good", "bad"), [(Duration, "300s", "300"), (Size, "1MiB", "1048576")])
def test_the_json_schema_says_how_they_are_written(kind: Any, good: str, bad: str) -> None:
    """An editor can check it."""
    schema = TypeAdapter(kind).json_schema()
    assert schema["type"] == "string"
    assert re.search(schema["pattern"], good)
    assert not re.search(schema["pattern"], bad)
