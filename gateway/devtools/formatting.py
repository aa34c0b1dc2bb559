"""Counts, sizes, ages and times, as the commands print them."""

from __future__ import annotations

import time

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 event`` or ``1,250 events``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_bytes(count: int) -> str:
    """Return a number of bytes in KiB, or from 1 MiB on in MiB."""
    return f"{count / 1024**2:,.1f} MiB" if count >= 1024**2 else f"{count / 1024:,.1f} KiB"


def format_age(seconds: float) -> str:
    """Return a duration in its largest unit, rounded down, such as ``3 hours``."""
    for unit, length in _UNITS:
        if seconds >= length:
            return format_count(int(seconds // length), unit)
    return "less than a minute"


def format_time(seconds: float) -> str:
    """Return Unix seconds as UTC time in RFC 3339, such as ``2026-11-21T13:00:20Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
