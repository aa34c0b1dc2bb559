"""Values that are masked before an event leaves the gateway, whether it is published or held in quarantine.

What a pointer leads to becomes ``***``, whatever it was, also where it leads into a text that is JSON itself. The
event then goes out as it was understood, and no longer as the sender's bytes: what a parser skips over, such as the
first of two members of one name, could still have a value in it that nobody may see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
import orjson
import structlog

from gateway.events.strict_json import UnreadableNumber, load_json
from gateway.signatures.extractors import pointer_steps

MASK = "***"

ANY = "*"
"""A step of a pointer that leads to all members of an object or all items of a list."""

WARN_AFTER = 100
"""Events after which a pointer is warned of that has led nowhere in any of them: most likely it is a mistake."""

# Numbers keep all their digits: a value of more than 64 bits, or of more digits than a double has, is often an id.
_read: Callable[[bytes | str], Any] = msgspec.json.Decoder(float_hook=Decimal).decode
_write: Callable[[object], bytes] = msgspec.json.Encoder(decimal_format="number").encode

_BEGINS_AS_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*["\[{\]])')

log = structlog.get_logger()


class Redaction:
    """What is masked in the events of a provider.

    Args:
        pointers: where the values stand within an event.
        watched: those of them that are warned of while they lead nowhere.
        provider: whose events these are, for the warning.
    """

    def __init__(self, pointers: Iterable[str], watched: Iterable[str] = (), provider: str = "") -> None:
        self._paths = {pointer: pointer_steps(f"item:{pointer}") for pointer in pointers}
        self._unmet = set(watched)
        self._provider = provider
        self._events = 0

    def mask(self, event: object) -> object:
        """Return a copy of ``event`` with the values masked; what is not touched is shared with it."""
        masked, _ = self._mask(event)
        return masked

    def encode(self, data: bytes) -> tuple[bytes, bool]:
        """Return the JSON in ``data`` with the values masked, and whether there were any."""
        try:
            event, write = _read(data), _write
        except (msgspec.MsgspecError, ValueError):  # an integer of thousands of digits
            event, write = _rounded(data), orjson.dumps
        masked, met = self._mask(event)
        if self._unmet:
            self._watch(met)
        return write(masked), bool(met)

    def _mask(self, event: object) -> tuple[object, set[str]]:
        met = set()
        for pointer, steps in self._paths.items():
            event, is_met = _masked(event, steps)
            if is_met:
                met.add(pointer)
        return event, met

    def _watch(self, met: set[str]) -> None:
        self._unmet -= met
        self._events += 1
        if self._events == WARN_AFTER:
            for pointer in sorted(self._unmet):
                log.warning(
                    "redact leads nowhere", provider=self._provider, pointer=pointer, events=WARN_AFTER
                )
            self._unmet.clear()


def _rounded(data: bytes) -> object:
    try:
        return load_json(data)
    except UnreadableNumber as error:
        return error.payload


def _masked(value: Any, steps: list[str]) -> tuple[Any, bool]:
    """The value with what the steps lead to masked, and whether they led to anything."""
    if not steps:
        return MASK, True
    step, rest = steps[0], steps[1:]
    if type(value) is str:
        return _masked_text(value, steps)
    places: Iterable[Any]
    if type(value) is dict:
        places = list(value) if step == ANY else value.keys() & {step}
        copy: Any = dict(value)
    elif type(value) is list:
        places = [index for index in range(len(value)) if step in (ANY, str(index))]
        copy = list(value)
    else:
        return value, False
    is_met = False
    for place in places:
        copy[place], is_met_there = _masked(copy[place], rest)
        is_met |= is_met_there
    return copy, is_met


def _masked_text(text: str, steps: list[str]) -> tuple[str, bool]:
    """A text that is JSON, written anew with what the steps lead to masked; all of it where it cannot be read.

    Source: pointers of adapters lead into such texts as well, see :func:`gateway.signatures.extractors.resolve`.
    """
    if not _BEGINS_AS_JSON.match(text):
        return text, False
    try:
        content = _read(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return MASK, True
    masked, is_met = _masked(content, steps)
    return _write(masked).decode(), is_met
