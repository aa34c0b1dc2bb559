"""Mask values of an event before it leaves the gateway, for a worker or for quarantine.

The value at a pointer becomes ``***``, whatever its type. A pointer also leads into strings that are JSON themselves.
A masked event is written anew from what was parsed. The provider's bytes could still hold the value where a parser
skips it, such as in the first of two members with the same name.
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
"""The step of a pointer that leads to all members of an object, or to all items of a list."""

WARN_AFTER = 100
"""Events after which a warning names the pointers that have matched none of them: most likely a mistake."""

# Numbers keep all their digits: one of more than 64 bits, or with more digits than a double has, is often an id.
_read: Callable[[bytes | str], Any] = msgspec.json.Decoder(float_hook=Decimal).decode
_write: Callable[[object], bytes] = msgspec.json.Encoder(decimal_format="number").encode

_BEGINS_AS_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*["\[{\]])')

log = structlog.get_logger()


class Redaction:
    """Masks values in the events of one provider.

    Args:
        pointers: JSON Pointers to the values within an event.
        watched: Those of the pointers that a warning names if they match nothing.
        provider: The provider's key in the configuration, for the warning.
    """

    def __init__(self, pointers: Iterable[str], watched: Iterable[str] = (), provider: str = "") -> None:
        self._paths = {pointer: pointer_steps(f"item:{pointer}") for pointer in pointers}
        self._unmet = set(watched)
        self._provider = provider
        self._events = 0

    def mask(self, event: object) -> object:
        """Return a copy of ``event`` with the values masked.

        Untouched parts are shared with the original.
        """
        masked, _ = self._mask(event)
        return masked

    def encode(self, data: bytes) -> tuple[bytes, bool]:
        """Mask the values in ``data``, which is JSON.

        Return the result, and whether any pointer matched.
        """
        try:
            event, write = _read(data), _write
        except (msgspec.MsgspecError, ValueError):  # such as an integer of thousands of digits
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
    """Return the value with everything at ``steps`` masked, and whether anything was there."""
    if not steps:
        return MASK, True
    step, rest = steps[0], steps[1:]
    if type(value) is str:
        return _masked_text(value, steps)
    places: Iterable[Any] = ()
    if type(value) is dict:
        places = list(value) if step == ANY else [step] if step in value else ()
    elif type(value) is list:
        places = [index for index in range(len(value)) if step in (ANY, str(index))]
    if not places:
        return value, False
    copy, is_met = value.copy(), False
    for place in places:
        copy[place], is_met_there = _masked(copy[place], rest)
        is_met |= is_met_there
    return copy, is_met


def _masked_text(text: str, steps: list[str]) -> tuple[str, bool]:
    """Mask within a string that is JSON, and write it anew.

    Mask all of a string that looks like JSON and is not.

    Adapters' pointers lead into such strings, too: see :func:`gateway.signatures.extractors.resolve`.
    """
    if not _BEGINS_AS_JSON.match(text):
        return text, False
    try:
        content = _read(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return MASK, True
    masked, is_met = _masked(content, steps)
    return _write(masked).decode(), is_met
