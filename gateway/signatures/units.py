"""Durations, sizes and rates as people write them in configuration: ``300s``, ``1MiB``, ``100/s``."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,12})(B|KiB|MiB|GiB|KB|MB|GB)", re.ASCII)
_RATE = re.compile(r"(\d{1,7})/(s|m|h)", re.ASCII)


def parse_duration(text: object) -> float:
    """Parse a duration such as ``300s``, ``1.5s``, ``250ms`` or ``4d`` into seconds.

    Raises:
        ValueError: The text is no duration, or zero.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise ValueError("is not a duration; write a number and a unit, such as 300s, 250ms, 5m, 12h or 4d")
    return seconds


def parse_size(text: object) -> int:
    """Parse a size such as ``512KiB``, ``1MiB`` or ``2GB`` into bytes.

    Raises:
        ValueError: The text is no size, or zero.
    """
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    size = int(match[1]) * _BYTES[match[2]] if match else 0
    if not size:
        raise ValueError("is not a size; write a number and a unit, such as 64KiB, 1MiB or 1GiB")
    return size


class EventRate(NamedTuple):
    """A number of events in a number of seconds."""

    events: int
    seconds: float


def parse_rate(text: object) -> EventRate:
    """Parse a rate such as ``100/s``, ``600/m`` or ``5000/h``.

    Raises:
        ValueError: The text is no rate, or zero.
    """
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    rate = EventRate(int(match[1]), _SECONDS[match[2]]) if match else None
    if not rate or not rate.events:
        raise ValueError("is not a rate; write a number of events and a unit, such as 100/s, 600/m or 5000/h")
    return rate


def format_rate(rate: EventRate) -> str:
    """Format a rate: ``100/s``."""
    unit = next(unit for unit, seconds in _SECONDS.items() if seconds == rate.seconds)
    return f"{rate.events}/{unit}"


def format_duration(seconds: float) -> str:
    """Format seconds in the largest unit that fits: 300.0 gives ``5m``."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


def format_size(size: int) -> str:
    """Format bytes in the largest unit that fits: 1048576 gives ``1MiB``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _BYTES[unit] and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["300s", "4d"]}),
]
"""Seconds, written with a unit in the configuration."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["64KiB", "1MiB"]}),
]
"""Bytes, written with a unit in the configuration."""

Rate = Annotated[
    EventRate,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_RATE.pattern}$", "examples": ["100/s", "600/m"]}),
]
"""An :class:`EventRate`, written ``100/s`` in the configuration."""
