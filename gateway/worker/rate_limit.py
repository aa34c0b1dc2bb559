"""The rate at which the handlers of a worker may begin, such as ``60/minute``.

The configuration's rates (:func:`gateway.signatures.units.parse_rate`) have a spelling of their own, which its JSON
Schema publishes: no days, and no units in words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_RATE = re.compile(r"([1-9][0-9]{0,5})/(second|minute|hour|day|s|m|h|d)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class RateLimit(NamedTuple):
    """A sliding window: at most ``events`` handlers begin within any ``seconds``."""

    events: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> RateLimit:
        """Parse a limit such as ``60/minute``, ``10/s`` or ``5000/day``.

        Raises:
            ValueError: The text is not such a limit.
        """
        match = _RATE.fullmatch(text)
        if not match:
            raise ValueError(
                f"{text!r} is not a rate limit; write a number and second, minute, hour or day: 60/minute"
            )
        return cls(int(match[1]), _SECONDS[match[2][0]])
