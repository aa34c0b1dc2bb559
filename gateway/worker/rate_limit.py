"""How often a worker may begin: ``60/minute``."""

from __future__ import annotations

import re
from typing import NamedTuple

_RATE = re.compile(r"([1-9][0-9]{0,5})/(second|minute|hour|day|s|m|h|d)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class RateLimit(NamedTuple):
    """So many beginnings in any so many seconds."""

    events: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> RateLimit:
        """A limit such as ``60/minute``, ``10/s`` or ``5000/day``.

        Raises:
            ValueError: the text is none.
        """
        match = _RATE.fullmatch(text)
        if not match:
            raise ValueError(
                f"{text!r} is no limit; write a number and second, minute, hour or day: 60/minute"
            )
        return cls(int(match[1]), _SECONDS[match[2][0]])
