"""Counts, sizes, ages and times as text."""

from __future__ import annotations

import pytest

from gateway.devtools.formatting import format_age, format_bytes, format_count, format_time


def test_a_noun_is_in_the_plural_but_for_one() -> None:
    """Large numbers are grouped."""
    assert [format_count(number, "event") for number in (0, 1, 1250)] == [
        "0 events",
        "1 event",
        "1,250 events",
    ]


def test_sizes_are_in_binary_units() -> None:
    """MiB from one MiB on."""
    assert [format_bytes(count) for count in (512, 1024**2, 1024**3)] == ["0.5 KiB", "1.0 MiB", "1,024.0 MiB"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59, "less than a minute"), (60, "1 minute"), (7_199, "1 hour"), (86_400 * 3, "3 days")],
)
def test_ages_are_rounded_down(seconds: float, text: str) -> None:
    """To the largest unit that fits."""
    assert format_age(seconds) == text


def test_times_are_in_utc() -> None:
    """As RFC 3339 writes them."""
    assert format_time(1_795_266_020) == "2026-11-21T13:00:20Z"
