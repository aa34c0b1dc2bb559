"""One line an event for people: what arrived, what it says, and what became of it.

On a terminal a line is cut to its width, because a wrapped line cannot be read in a stream. In a pipe it is complete.
All text of a payload is escaped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

from gateway.observability.terminal import (
    BOLD,
    CYAN,
    DIM,
    GREEN,
    RED,
    YELLOW,
    cell_width,
    cut,
    has_color,
    is_terminal,
    one_line,
    paint,
)

_MARKS = {
    "accepted": ("✓", GREEN),
    "handled": ("✓", GREEN),
    "delivered": ("✓", GREEN),
    "handshake": ("✓", GREEN),
    "quarantined": ("!", YELLOW),
    "duplicate": ("=", DIM),
    "ignored": ("-", DIM),
    "unhandled": ("-", DIM),
}
"""The mark and the style of each outcome that is not a failure."""

_FAILED = ("✗", RED)

_EXPECTED = frozenset(("accepted", "handled", "delivered"))
"""Outcomes that a mark says well enough where columns are few."""

_SAID_BY_DETAIL = frozenset(("unknown_provider",))
"""Outcomes whose details repeat them."""

_MIN_DETAIL = 12
"""Columns below which a detail says too little to be printed."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """The parts of a line.

    Attributes:
        time: The time of day.
        provider: The provider's key in the configuration.
        event_type: The event type as routing keys spell it.
        detail: What the event says, or why it was refused. It is cut first.
        outcome: The outcome; empty if it is not known, as in a stream of published events.
        result: The status and the duration; never cut.
        more: Further parts, which are printed only where there is room for all of them.
    """

    time: str
    provider: str = ""
    event_type: str = ""
    detail: str = ""
    outcome: str = ""
    result: str = ""
    more: tuple[str, ...] = field(default=())

    def plain(self) -> str:
        """Return all parts in columns two spaces apart, for a pipe."""
        mark, _ = self._mark
        named = (
            mark,
            self.provider or "?",
            self.event_type,
            *self.more,
            self._outcome,
            self.detail,
            self.result,
        )
        return "  ".join([self.time, *(one_line(part) for part in named if part)])

    def fitted(self, columns: int, *, color: bool) -> str:
        """Return a line of at most ``columns``, which ends with the result; a terminal has 30 at least."""
        mark, style = self._mark
        named, result = one_line(f"{self.provider} {self.event_type}"), one_line(self.result)
        is_said = self.outcome in _EXPECTED or (self.detail and self.outcome in _SAID_BY_DETAIL)
        outcome = "" if is_said else self._outcome
        detail = one_line(": ".join(filter(None, (outcome, self.detail))))
        fixed = len(self.time) + 1 + (2 if mark else 0) + (cell_width(result) + 2 if result else 0)
        named = cut(named, max(columns - fixed, 0))
        room = columns - fixed - cell_width(named) - 2
        detail = cut(detail, room) if room >= min(_MIN_DETAIL, cell_width(detail)) else ""
        room -= cell_width(detail)
        more = "".join(f"  {one_line(part)}" for part in self.more)
        failed = style == RED
        parts = [
            (f"{self.time} ", DIM),
            (f"{mark} " if mark else "", style),
            (named, RED if failed else CYAN),
            (f"  {detail}" if detail else "", RED if failed else BOLD),
            (more if room >= cell_width(more) else "", DIM),
            (f"  {result}" if result else "", RED if failed else DIM),
        ]
        return "".join(paint(text, each) if color else text for text, each in parts)

    @property
    def _mark(self) -> tuple[str, str]:
        return _MARKS.get(self.outcome, _FAILED) if self.outcome else ("", "")

    @property
    def _outcome(self) -> str:
        return self.outcome.replace("_", " ")

    def shown(self, stream: TextIO) -> str:
        """Return the line as ``stream`` takes it."""
        if not is_terminal(stream):
            return self.plain()
        return self.fitted(shutil.get_terminal_size().columns, color=has_color(stream))


def time_of_day(moment: float | str | None = None) -> str:
    """Return the local time of ``moment``, Unix seconds or RFC 3339; by default of now."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment).timestamp()
        except ValueError:
            return "?"
    return time.strftime("%H:%M:%S", time.localtime(moment))


def line_of_request(fields: Mapping[str, Any], summary: str = "") -> EventLine:
    """Return the line for a request that was logged, with the summary of its event if that is known."""
    detail, named, event_id = fields.get("cause") or summary, fields.get("event_type"), fields.get("event_id")
    if fields.get("path"):
        named = f"{fields['method']} {fields['path']}"
    elif (count := fields.get("events")) is not None:
        named, event_id = f"{count} event{'s' if count != 1 else ''}", None
        detail = ", ".join(f"{number} {outcome}" for outcome, number in fields.get("outcomes", {}).items())
    status, took = fields.get("status"), fields.get("ms")
    return EventLine(
        time=time_of_day(),
        provider=str(fields.get("provider") or ""),
        event_type=str(named or ""),
        detail=str(detail),
        outcome=str(fields.get("outcome", "")),
        result=f"{status} {took:.0f} ms" if isinstance(took, int | float) else str(status or ""),
        more=(str(event_id),) if event_id else (),
    )


def line_of_delivery(fields: Mapping[str, Any]) -> EventLine:
    """Return the line for a delivery that a worker logged."""
    detail = str(fields.get("reason") or fields.get("error") or "")
    if fields.get("error_message"):
        detail += f": {fields['error_message']}"
    if detail:
        detail += f" (attempt {fields.get('attempts')})"
    took, delay = fields.get("ms"), fields.get("delay")
    retry = f"retry in {delay:g} s" if delay else ""
    took_text = f"{took:.0f} ms" if isinstance(took, int | float) else ""
    return EventLine(
        time=time_of_day(),
        provider=str(fields.get("queue") or ""),
        event_type=str(fields.get("type") or ""),
        detail=detail,
        outcome=str(fields.get("outcome", "")),
        result=", ".join(filter(None, (retry, took_text))),
        more=(str(fields["id"]),) if fields.get("id") else (),
    )


def line_of_attempt(fields: Mapping[str, Any]) -> EventLine:
    """Return the line for an attempt to deliver an event to an endpoint."""
    outcome = str(fields.get("outcome") or "delivered")
    detail = ""
    if outcome != "delivered":
        retry_in = fields.get("retry_in")
        then = "no further attempt" if retry_in is None else f"retry in {retry_in:.0f} s"
        cause = f": {fields['cause']}" if fields.get("cause") else ""
        detail = f"attempt {fields.get('attempt')}, {then}{cause}"
    status = fields.get("status")
    return EventLine(
        time=time_of_day(),
        provider=str(fields.get("endpoint") or ""),
        event_type=str(fields.get("type") or ""),
        detail=detail,
        outcome=outcome,
        result=" ".join(filter(None, (str(status or ""), f"{fields.get('ms', 0):.0f} ms"))),
        more=(str(fields["delivery"]),) if fields.get("delivery") else (),
    )
