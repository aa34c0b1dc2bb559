"""Values that are masked before an event leaves the gateway, whether it is published or held in quarantine.

What a pointer leads to becomes ``***``, whatever it was. The event then goes out as it was understood, and no
longer as the sender's bytes: what a parser skips over, such as the first of two members of one name, could
still have a value in it that nobody may see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from gateway.payload import parse_json
from providers.sources import pointer_steps

MASK = "***"

ANY = "*"
"""A step of a pointer that leads to all members of an object or all items of a list."""


class Redaction:
    """What is masked in the events of a provider.

    Args:
        pointers: where the values stand within an event.
    """

    def __init__(self, pointers: Iterable[str]) -> None:
        self._paths = [pointer_steps(f"item:{pointer}") for pointer in pointers]

    def mask(self, event: object) -> object:
        """A copy of ``event`` with the values masked; what is not touched is shared with it."""
        for steps in self._paths:
            event = _masked(event, steps)
        return event

    def encode(self, data: bytes) -> bytes:
        """The JSON in ``data`` with the values masked."""
        return orjson.dumps(self.mask(parse_json(data)))


def _masked(value: Any, steps: list[str]) -> Any:
    if not steps:
        return MASK
    step, rest = steps[0], steps[1:]
    if type(value) is dict:
        names = value.keys() if step == ANY else value.keys() & {step}
        return {**value, **{name: _masked(value[name], rest) for name in names}}
    if type(value) is list:
        return [
            _masked(item, rest) if step in (ANY, str(index)) else item for index, item in enumerate(value)
        ]
    return value
