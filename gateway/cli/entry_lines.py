"""Entries of the journal as lines for people: one each on a wide terminal, two on a narrow one, and whole in a pipe."""

from __future__ import annotations

import shutil
import sys
import time

from gateway.journal.entry import Entry, Kind
from gateway.observability.terminal import (
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
from gateway.operations.event_models import Tone
from gateway.operations.event_steps import brief, tone_of
from gateway.operations.plain import iso

MARKS: dict[Tone, tuple[str, str]] = {
    "good": ("✓", GREEN),
    "busy": ("…", YELLOW),
    "bad": ("✗", RED),
    "neutral": ("-", DIM),
}
"""The mark and the colour of each tone."""

NARROW = 70
"""Columns below which an entry takes two lines."""

_MIN_PART = 3
"""Columns below which a part says nothing."""

_INDENT = "  "


def show_entry(entry: Entry) -> str:
    """Return the line, or the two, of an entry, as standard output takes it."""
    if not is_terminal(sys.stdout):
        return plain_line(entry)
    return fitted_lines(
        entry, shutil.get_terminal_size().columns, color=has_color(sys.stdout), now=time.time()
    )


def plain_line(entry: Entry) -> str:
    """Return an entry in columns two spaces apart: time, provider, type, id, sentence, summary."""
    named = (entry.provider or "?", entry.type or "-", entry.event_id or "-")
    return "  ".join([iso(entry.at), *map(one_line, named), *_told(entry)])


def fitted_lines(entry: Entry, columns: int, *, color: bool, now: float) -> str:
    """Return an entry in lines of at most ``columns``. The id is cut last: it is to be copied."""
    mark, style = MARKS[tone_of(entry)]
    moment, named = local_time(entry.at, now), one_line(f"{entry.provider or '?'} {entry.type}")
    event_id, told = one_line(entry.event_id), "  ".join(_told(entry))
    is_narrow = columns < NARROW

    def colored(text: str, its_style: str) -> str:
        return paint(text, its_style) if color else text

    head = f"{colored(moment, DIM)} {colored(mark, style)} "
    room = columns - cell_width(moment) - 3
    if is_narrow:
        first = f"{head}{colored(cut(named, room), CYAN)}"
        if event_id:
            told = f"{event_id}  {told}"
        return (
            f"{first}\n{_INDENT}{colored(cut(told, columns - len(_INDENT)), style if style == RED else '0')}"
        )
    event_id = cut(event_id, columns // 2)
    parts = [(event_id, "0"), (named, CYAN), (told, style if style == RED else DIM)]
    shown = []
    for text, its_style in parts:
        if text and room > _MIN_PART:
            fitted = cut(text, room)
            room -= cell_width(fitted) + 2
            shown.append(colored(fitted, its_style))
    return head + "  ".join(shown)


def local_time(at: float, now: float) -> str:
    """Return the local time of day; with the date, if it is not today's."""
    moment = time.localtime(at)
    is_today = moment[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if is_today else "%m-%d %H:%M:%S", moment)


def _told(entry: Entry) -> list[str]:
    told = one_line(brief(entry))
    return [told, one_line(entry.summary)] if entry.summary and entry.kind is Kind.RECEIVED else [told]
