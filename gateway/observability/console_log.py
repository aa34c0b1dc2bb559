"""Log lines for people: one line for each request, delivery and attempt, and structlog's own for everything else."""

from __future__ import annotations

import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from gateway.observability.event_lines import line_of_attempt, line_of_delivery, line_of_request
from gateway.observability.terminal import DIM, has_color, paint, printable

_INDENT = " " * 9
"""Puts the frames of a traceback under the text of its line, to the right of the time."""


def console_processors(stream: TextIO | None = None) -> list[Processor]:
    """Return the processors that render log events for people who read ``stream``; by default, standard output."""
    target = stream or sys.stdout
    return [
        drop_absent,
        _LinesOfEvents(target),
        make_printable,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=has_color(target),
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,  # the default one prints local variables, secrets included
        ),
    ]


def plain_processors() -> list[Processor]:
    """Return the processors that render log events as text for the logs of another program."""
    return [
        drop_absent,
        make_printable,
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=("event",)),
    ]


_LINES = {
    "request": line_of_request,
    "delivery": line_of_delivery,
    "delivered": line_of_attempt,
    "delivery failed": line_of_attempt,
    "delivery dead": line_of_attempt,
}
"""The events of which there are many, and what makes a line of each."""


class _LinesOfEvents:
    """Renders the events of which there are many in one line each.

    A delivery whose handler failed is followed by the frames of the handler.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, logger: Any, _: str, fields: EventDict) -> EventDict:
        line_of = _LINES.get(str(fields.get("event")))
        if line_of is None:
            return fields
        text = [line_of(fields).shown(self._stream)]
        text += [_dimmed(f"{_INDENT}{printable(frame)}", self._stream) for frame in _frames(fields)]
        logger.msg("\n".join(text))
        raise structlog.DropEvent


def _frames(fields: EventDict) -> list[str]:
    return str(fields.get("trace") or "").splitlines()


def _dimmed(text: str, stream: TextIO) -> str:
    return paint(text, DIM) if has_color(stream) else text


def drop_absent(_: object, __: str, fields: EventDict) -> EventDict:
    """Remove absent fields, which help programs but are noise for people."""
    return {name: value for name, value in fields.items() if value is not None}


def make_printable(_: object, __: str, fields: EventDict) -> EventDict:
    """Escape control characters: no client may move the cursor. Tracebacks keep their lines."""
    return {
        name: printable(value, keep="\n" if name == "exception" else "") if type(value) is str else value
        for name, value in fields.items()
    }
