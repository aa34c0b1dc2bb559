"""Deliveries of several events: the items of a list, each with the bytes that it came in."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from gateway.errors import BodyTooLarge, MalformedJson
from providers.sources import resolve

MAX_ITEMS = 10_000
"""Events in a delivery; senders have up to 5000."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Item(NamedTuple):
    """One event of several.

    Attributes:
        payload: its value.
        data: its bytes, without the white space around it.
    """

    payload: Any
    data: bytes


def split(payload: object, data: bytes, steps: list[str]) -> list[Item] | None:
    """The items of the list that ``steps`` lead to in a payload, whose JSON is ``data``; None where there is no list.

    Raises:
        BodyTooLarge: there are more than 10,000.
        MalformedJson: the two readers that it takes do not agree on it.
    """
    values = resolve(payload, steps)
    if type(values) is not list:
        return None
    if len(values) > MAX_ITEMS:
        raise BodyTooLarge(f"{len(values)} events in one delivery")
    try:
        for step in steps:
            inner = (
                _decode_list(data)[int(step)]
                if data.lstrip().startswith(b"[")
                else _decode_object(data)[step]
            )
            data = bytes(inner)
        return [Item(value, bytes(raw)) for value, raw in zip(values, _decode_list(data), strict=True)]
    except (msgspec.MsgspecError, ValueError, LookupError) as error:
        raise MalformedJson("the items of the list cannot be told apart") from error
