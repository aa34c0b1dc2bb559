"""Moments as RFC 3339 text. Events of one second come together, so the last seconds are remembered."""

from __future__ import annotations

import time
from functools import lru_cache

_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def rfc3339_seconds(seconds: int) -> str:
    """Whole Unix seconds as ``2026-01-31T12:00:00Z``."""
    return _second(seconds) + "Z"


def rfc3339_milliseconds(seconds: float) -> str:
    """Unix seconds as ``2026-01-31T12:00:00.123Z``."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return _second(whole) + _MILLISECONDS[milliseconds]
