"""The geometry of charts. The templates draw it as SVG, so that no markup is made here.

All charts are drawn in a box of fixed units and stretched to the width of the page; lines keep their width.

The module has slightly more than 200 lines because half of it names what the templates draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH = 1000.0
"""Units of a chart's width; its height is 100."""

HEIGHT = 100.0

_LEAST_HEIGHT = 1.2
"""Units of height for the smallest part of a bar that is not zero: one failure in a million has to be seen."""

_GAP = 0.18
"""The share of a bar's width that is left free."""


class Part(NamedTuple):
    """One part of a stacked bar.

    Attributes:
        tone: The tone that it is filled with.
        y: The top.
        height: The height.
    """

    tone: str
    y: float
    height: float


class Column(NamedTuple):
    """One bar.

    Attributes:
        x: The left side of its place, gap included.
        width: The width of its place.
        bar_x: The left side of the bar.
        bar_width: The width of the bar.
        parts: Its parts, from the bottom to the top.
        at: The beginning of its time, in Unix seconds.
        until: The end.
        counts: The numbers by label, in the order of the legend.
        href: The address to go to; empty for a bar that is not a link.
    """

    x: float
    width: float
    bar_x: float
    bar_width: float
    parts: tuple[Part, ...]
    at: float
    until: float
    counts: tuple[tuple[str, float], ...]
    href: str = ""


class Bars(NamedTuple):
    """A stacked bar chart.

    Attributes:
        columns: The bars.
        legend: Labels with their tones and sums, largest first.
        top: The largest sum of a bar.
        begins_at: The beginning of the first bar.
        ends_at: The end of the last.
    """

    columns: tuple[Column, ...]
    legend: tuple[tuple[str, str, float], ...]
    top: float
    begins_at: float
    ends_at: float


class Line(NamedTuple):
    """One line of a line chart.

    Attributes:
        label: Its name.
        tone: Its tone.
        path: What an SVG path needs, with breaks where nothing is known.
        last: The newest value; None if it is unknown.
    """

    label: str
    tone: str
    path: str
    last: float | None


class Lines(NamedTuple):
    """A line chart.

    Attributes:
        lines: The lines.
        top: The value at the upper edge.
        begins_at: The beginning, in Unix seconds.
        ends_at: The end.
        rows: For the table: a moment and its values in the order of the lines.
    """

    lines: tuple[Line, ...]
    top: float
    begins_at: float
    ends_at: float
    rows: tuple[tuple[float, tuple[float | None, ...]], ...]


class Spark(NamedTuple):
    """A small line without axes.

    Attributes:
        line: The path of the line.
        area: The path of the area below it.
    """

    line: str
    area: str


Span = tuple[float, float, Mapping[str, float], str]
"""A bar as it is given: its beginning, its end, its numbers by label, and its address."""


def bars(spans: Sequence[Span], tones: Mapping[str, str]) -> Bars:
    """Stack the numbers of each span.

    Args:
        spans: The bars.
        tones: The labels in the order in which they are stacked, from the bottom, each with its tone.
    """
    top = max((sum(numbers.values()) for _, _, numbers, _ in spans), default=0.0)
    width = WIDTH / max(len(spans), 1)
    columns = tuple(
        Column(
            round(index * width, 1),
            round(width, 1),
            round((index + _GAP / 2) * width, 1),
            round(width * (1 - _GAP), 1),
            _stack(numbers, tones, top),
            at,
            until,
            tuple((label, numbers[label]) for label in tones if numbers.get(label)),
            href,
        )
        for index, (at, until, numbers, href) in enumerate(spans)
    )
    sums = {label: sum(numbers.get(label, 0) for _, _, numbers, _ in spans) for label in tones}
    legend = tuple((label, tones[label], total) for label, total in sums.items() if total)
    return Bars(columns, legend, top, spans[0][0] if spans else 0, spans[-1][1] if spans else 0)


def _stack(numbers: Mapping[str, float], tones: Mapping[str, str], top: float) -> tuple[Part, ...]:
    parts, bottom = [], HEIGHT
    for label, tone in tones.items():
        if number := numbers.get(label):
            height = max(number / top * HEIGHT, _LEAST_HEIGHT)
            bottom = max(bottom - height, 0.0)
            parts.append(Part(tone, round(bottom, 1), round(height, 1)))
    return tuple(parts)


def lines(series: Sequence[tuple[str, str, Sequence[float | None]]], begins_at: float, step: float) -> Lines:
    """Draw lines over the same spans, given as label, tone and values."""
    known = [value for _, _, values in series for value in values if value is not None]
    top = max(known, default=0.0)
    length = max((len(values) for _, _, values in series), default=0)
    drawn = tuple(
        Line(
            label,
            tone,
            _path(values, top),
            next((value for value in reversed(values) if value is not None), None),
        )
        for label, tone, values in series
    )
    rows = tuple(
        (begins_at + index * step, tuple(values[index] for _, _, values in series)) for index in range(length)
    )
    return Lines(drawn, top, begins_at, begins_at + length * step, rows)


def spark(values: Sequence[float]) -> Spark | None:
    """Draw a small line; None if there is nothing to draw."""
    if len(values) < 2:
        return None
    top = max(values) or 1.0
    line = _path(values, top)
    return Spark(line, f"{line}L{WIDTH:.0f},{HEIGHT:.0f}L0,{HEIGHT:.0f}Z")


def _path(values: Sequence[float | None], top: float) -> str:
    step = WIDTH / max(len(values) - 1, 1)
    path, is_drawing = [], False
    for index, value in enumerate(values):
        if value is None:
            is_drawing = False
            continue
        height = HEIGHT - (value / top * HEIGHT if top else 0)
        path.append(f"{'L' if is_drawing else 'M'}{index * step:.1f},{height:.1f}")
        is_drawing = True
    return "".join(path)
