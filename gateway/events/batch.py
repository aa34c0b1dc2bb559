"""Split the body of a request into its events, each with its own bytes as they came."""

from __future__ import annotations

from itertools import islice
from typing import Any, NamedTuple

import msgspec

from gateway.errors import BodyTooLarge, MalformedJson
from gateway.signatures.batches import Batch
from gateway.signatures.extractors import Parent

MAX_ITEMS = 10_000
"""Events in one request, to bound what it can start. Providers send up to 5000."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Item(NamedTuple):
    """One event of several.

    Attributes:
        payload: The parsed value.
        data: The bytes of the value, without the white space around it.
        parent: The object that holds the list; None if the body is the list.
        context: A digest of everything around the list, if a body may have several lists; else empty.
    """

    payload: Any
    data: bytes
    parent: Parent | None = None
    context: bytes = b""


def split(payload: object, data: bytes, batch: Batch) -> list[Item] | None:
    """Return the events in ``payload``; None if it has none of the lists of ``batch``.

    Args:
        payload: The value of the body.
        data: The JSON of the payload.
        batch: Where the lists of events are.

    Raises:
        BodyTooLarge: There are more than 10,000 events.
        MalformedJson: msgspec, which finds the bytes, disagrees with orjson, which parsed the payload.
    """
    found = list(islice(batch.events(payload), MAX_ITEMS + 1))
    if len(found) > MAX_ITEMS:
        raise BodyTooLarge(f"more than {MAX_ITEMS} events in one delivery")
    if not found and not batch.is_in(payload):
        return None
    document = _Document(data)
    try:
        return [
            Item(
                value,
                bytes(document.at(path)),
                parent,
                parent.context if parent and batch.is_nested else b"",
            )
            for value, parent, path in found
        ]
    except (msgspec.MsgspecError, ValueError, LookupError) as error:
        raise MalformedJson("the items of the list cannot be told apart") from error


class _Document:
    """The bytes of a JSON document, split along paths.

    Paths come in the order of the document, so that each level is split once: the time is linear in its size.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._names: list[str | int] = []  # the path to the innermost level
        self._levels: list[Any] = []  # the members at each level of that path, outermost first

    def at(self, path: tuple[str | int, ...]) -> msgspec.Raw:
        """Return the bytes of the value at ``path``, which has at least one step."""
        depth = 0
        for known, name in zip(self._names, path[:-1], strict=False):
            if known != name:
                break
            depth += 1
        del self._names[depth:], self._levels[depth + 1 :]
        for position in range(len(self._levels), len(path)):
            data = self._levels[-1][path[position - 1]] if position else self._data
            decode = _decode_list if type(path[position]) is int else _decode_object
            self._levels.append(decode(data))
        self._names = list(path[:-1])
        value: msgspec.Raw = self._levels[-1][path[-1]]
        return value
