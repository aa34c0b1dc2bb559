"""Moments, numbers and texts as the pages show them."""

from __future__ import annotations

import pytest

from gateway.console.pages import formatting


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (0.4, "now"), (5.3, "5 s ago"), (59, "59 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago"), (-90, "in 1 min")],
)  # fmt: skip
def test_how_long_ago(seconds: float, text: str) -> None:
    """In the largest unit; also what is to come."""
    assert formatting.ago(1_000_000.0 - seconds, 1_000_000.0) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0034, "3 ms"), (0.2, "200 ms"), (1.5, "1.5 s"), (4.0, "4 s"), (125, "2 min 5 s"), (3600, "1 h"), (90_000, "1 d 1 h")],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    """In two units at most."""
    assert formatting.span(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (None, "–")],
)
def test_sizes(number: float | None, text: str) -> None:
    """In powers of 1024, named so."""
    assert formatting.size(number) == text


@pytest.mark.parametrize("number", [0.0, 3, 999, 1234, 45_678, 5_600_000])
def test_short_counts_are_short(number: float) -> None:
    """They stand beside bars."""
    assert len(formatting.short_count(number)) <= 5


def test_what_is_invisible_becomes_its_code_point() -> None:
    """Line feeds and tabs stay."""
    assert (
        formatting.visible("a\u202eb\x00c\td\ne\u200bf\U000e0041")
        == "a⟨U+202E⟩b⟨U+0000⟩c\td\ne⟨U+200B⟩f⟨U+E0041⟩"
    )


@pytest.mark.parametrize("text", ["grüße", "日本語", "👍", "é", "עברית"])
def test_other_writing_is_left_alone(text: str) -> None:
    """Only what hides or reorders is replaced."""
    assert formatting.visible(text) == text


@pytest.mark.parametrize(
    ("event_id", "path"),
    [
        ("evt_1", "/events/stripe/evt_1"),
        ("a.b:c@d", "/events/stripe/a.b:c@d"),
        ("..", "/event?provider=stripe&id=.."),
        ("a/b", "/event?provider=stripe&id=a%2Fb"),
        ("a b?#", "/event?provider=stripe&id=a+b%3F%23"),
        ("\u202e", "/event?provider=stripe&id=%E2%80%AE"),
    ],
)
def test_the_address_of_an_event(event_id: str, path: str) -> None:
    """An id that a browser would change stands in the query."""
    assert formatting.event_path("stripe", event_id) == path


def test_empty_arguments_are_left_out_of_addresses() -> None:
    """So that the same page has one address."""
    assert formatting.address("/events", q="", before=None) == "/events"
    assert formatting.address("/events", q="outcome:dead", before="x") == "/events?q=outcome%3Adead&before=x"
