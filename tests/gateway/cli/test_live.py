"""Events on a terminal: lines while they are few, a counter while they are many."""

from __future__ import annotations

import io

import pytest

from gateway.cli.live import MAX_LINES, LiveLines
from gateway.observability.event_lines import EventLine

LINE = EventLine("09:43:09", "acme", "made")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@pytest.fixture(autouse=True)
def _ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def burst(lines: LiveLines, count: int) -> None:
    """Show so many events at one moment."""
    for number in range(count):
        lines.show(LINE, "accepted" if number % 2 else "duplicate")


def test_few_events_are_a_line_each() -> None:
    """Up to the limit, in any second."""
    stream, clock = Terminal(), Clock()
    lines = LiveLines(stream, clock)
    for _ in range(3):
        burst(lines, MAX_LINES)
        clock.now += 1.0

    assert stream.getvalue().count("\n") == 3 * MAX_LINES
    assert not lines.is_counting


def test_many_events_are_counted_in_one_line() -> None:
    """It is redrawn in place, a few times a second, and summed up once they come slowly again."""
    stream, clock = Terminal(), Clock()
    lines = LiveLines(stream, clock)
    burst(lines, MAX_LINES)
    for _ in range(10):
        clock.now += 0.1
        burst(lines, 100)

    assert lines.is_counting
    assert stream.getvalue().count("\n") == MAX_LINES
    assert 4 <= stream.getvalue().count("\r\x1b[K") <= 6
    clock.now += 1.0
    lines.tick()
    last = stream.getvalue().splitlines()[-1]
    assert last.endswith(" 1,000 events: duplicate 500, accepted 500 in 1.9 s")
    lines.show(LINE, "accepted")
    assert stream.getvalue().count("\n") == MAX_LINES + 2


def test_other_lines_are_not_written_into_the_counter() -> None:
    """A warning has a line of its own."""
    stream, clock = Terminal(), Clock()
    lines = LiveLines(stream, clock)
    burst(lines, MAX_LINES + 10)
    lines.warning("the broker is away")

    assert stream.getvalue().endswith("\r\x1b[Kthe broker is away\n")


@pytest.mark.parametrize("kind", ["a pipe", "a dumb terminal"])
def test_a_stream_that_cannot_be_redrawn_gets_every_event(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no escape."""
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal() if kind == "a dumb terminal" else io.StringIO()
    burst(LiveLines(stream, Clock()), 500)

    assert stream.getvalue().count("\n") == 500
    assert stream.getvalue().replace("\n", "").isprintable()
