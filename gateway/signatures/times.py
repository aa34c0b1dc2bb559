"""Timestamps as RFC 3339 text. Many events share a second, so the texts of recent seconds are cached."""

from __future__ import annotations

import time
from functools import lru_cache

_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def rfc3339_seconds(seconds: int) -> str:
    """Format whole Unix seconds as ``2026-01-31T12:00:00Z``."""
    return _second(seconds) + "Z"


def rfc3339_milliseconds(seconds: float) -> str:
    """Format Unix seconds as ``2026-01-31T12:00:00.123Z``."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return _second(whole) + _MILLISECONDS[milliseconds]
