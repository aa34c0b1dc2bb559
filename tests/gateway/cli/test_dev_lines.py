"""`gateway dev` joins a request with its event: one line each, in the order in which they came."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import structlog

from gateway.cli.dev_lines import DevLines
from gateway.cli.live import LiveLines


class Screen:
    """The lines, what they were printed to, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.lines = DevLines(LiveLines(self.stream), lambda: self.now)

    @property
    def printed(self) -> list[list[str]]:
        """The columns of each line, without the time."""
        return [line.split("  ")[1:] for line in self.stream.getvalue().splitlines()]

    def request(self, event_id: str | None, outcome: str = "accepted", **more: Any) -> None:
        """Log a request."""
        fields = {"event": "request", "provider": "acme", "event_type": "made", "event_id": event_id}
        with pytest.raises(structlog.DropEvent):
            self.lines.take(None, "info", fields | {"outcome": outcome, "status": 202, "ms": 5.0} | more)

    def event(self, event_id: str, summary: str = "Acme: order 1 made") -> None:
        """Have an event come out of the queue."""
        event = {"id": event_id, "provider": "acme", "eventtype": "made", "summary": summary}
        self.lines.on_event(json.dumps(event | {"specversion": "1.0"}).encode())


@pytest.fixture
def screen() -> Screen:
    """An empty one."""
    return Screen()


@pytest.mark.parametrize("is_request_first", [True, False])
def test_a_request_and_its_event_are_one_line(screen: Screen, is_request_first: bool) -> None:
    """Whichever is known first; the summary does not repeat the provider's name."""
    first, second = screen.request, screen.event
    for step in (first, second) if is_request_first else (second, first):
        step("1")
        assert is_request_first or step is not second or not screen.printed

    assert screen.printed == [["✓", "acme", "made", "1", "accepted", "order 1 made", "202 5 ms"]]


def test_a_duplicate_stands_after_its_original(screen: Screen) -> None:
    """Although its line is complete at once, and the original waits for the queue."""
    screen.request("1")
    screen.request("1", "duplicate")
    assert screen.printed == []
    screen.event("1")

    assert [line[0] for line in screen.printed] == ["✓", "="]


def test_nothing_waits_for_ever(screen: Screen) -> None:
    """A request whose event does not come, and an event that was not requested here, such as a replayed one."""
    screen.request("lost")
    screen.event("replayed")
    screen.now = 0.9
    screen.lines.flush()
    assert screen.printed == []
    screen.now = 1.1
    screen.lines.flush()

    assert screen.printed == [
        ["✓", "acme", "made", "lost", "accepted", "202 5 ms"],
        ["✓", "acme", "made", "replayed", "handled", "order 1 made"],
    ]
    screen.event("lost")
    screen.lines.flush(everything=True)
    assert len(screen.printed) == 3


def test_what_the_banner_says_is_not_said_again(screen: Screen) -> None:
    """Other log events pass."""
    with pytest.raises(structlog.DropEvent):
        screen.lines.take(None, "info", {"event": "listening"})
    warning = {"event": "claims unavailable"}
    assert screen.lines.take(None, "warning", warning) is warning
