"""Excerpts of JSON bodies: the values at the few places that a signature covers, and nothing else.

A body whose sender is not proven is decoded by msgspec types that know only these places. Everything else is skipped
without creating objects, and the first unexpected value ends the decoding, so that junk costs about as much as a digest.

This module has more than 200 lines because an excerpt and the check for repeated names walk the same tree of places.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import msgspec
import orjson

from gateway.signatures.extractors import pointer_steps, resolve
from gateway.signatures.rejections import SignatureRejected

_SMALL_BYTES = 4 * 1024
"""Bytes up to which a whole body is decoded: that costs no more than the rest of any request."""

_MAX_BYTES = 8 * 1024 * 1024
"""Bytes of a body that contains its signature. Senders of such bodies send a few KiB."""

_MAX_OBJECTS = 10_000
"""Objects in a batch whose items are signed one by one. Senders send a few hundred items."""

_MAX_VALUES = 20_000
"""Objects, and lists, in a body. If all of it has to be decoded, all of its values."""

_PLAIN = re.compile("[A-Za-z0-9_-]+")
_ALIKE = ("\N{KELVIN SIGN}".encode(), "\N{LATIN SMALL LETTER LONG S}".encode())
"""Letters beyond ASCII that case-insensitive readers take for k and s."""

_Scalar = str | int | float | bool | None


class Excerpt:
    """A reader of the values at some places of a JSON body.

    Args:
        places: ``body:/json/pointer``, or ``item:/json/pointer`` in each event of a batch.
        batch: the steps to the list of events; None without a batch.

    Attributes:
        members: the names of the members of the outermost object that are read.
    """

    def __init__(self, places: Iterable[str], batch: Sequence[str] | None = None) -> None:
        named = list(places)
        self._batch = batch if any(place.startswith("item:") for place in named) else None
        self._root, self._item = Node(), Node()
        for place in named:
            steps = pointer_steps(place)
            self._root.add(steps)  # places of items too, since a body without the list is an item itself
            if place.startswith("item:"):
                self._item.add(steps)
        self._names = frozenset(chain(self._root.names(), self._item.names(), self._batch or ()))
        self._is_typed = not any(name == "*" or name.isdigit() for name in self._names)
        lowered = {name.lower().encode() for name in self._names}
        self._quoted = [b'"%b"' % name for name in lowered]
        self._quoted_in_texts = [b'\\"%b\\' % name for name in lowered]  # also in a string inside a string
        self._folded = frozenset(name.casefold() for name in self._names)
        self._has_plain_names = all(map(_PLAIN.fullmatch, self._names))
        if self._batch is not None:
            self._root.add(self._batch).every = self._item
        self.members = frozenset(self._root.members)

    def read(self, text: bytes) -> Iterator[tuple[object, object]]:
        """Yield the payload with each of its items, reduced to the values at the places.

        Raises:
            SignatureRejected: The text is not JSON, is much larger than what the sender sends, or has another kind of
                value where a string should be.
        """
        is_small = len(text) <= _SMALL_BYTES
        if not is_small:
            self._check_size(text)
        if is_small or not self._is_typed:
            payload = _load(text)
            items = resolve(payload, [*self._batch]) if self._batch is not None else None
            yield from ((payload, item) for item in (items if type(items) is list else [payload]))
            return
        found = self._root.decode(text)
        payload, items = self._root.plain(found), self._items(found)
        if items is None:
            yield payload, payload
            return
        for item in items:  # one by one: the first unsigned item ends the work
            yield payload, self._item.plain(item)

    def check_unrepeated(self, content: bytes | Mapping[str, object]) -> None:
        """Refuse a body with a repeated name, in any case, in an object on the way to a place.

        Of two members of the same name only one is signed; some readers use the first, some the last, and some ignore
        case. In a form a repeated field has a list already, so that only JSON in its fields is checked.

        Raises:
            SignatureRejected: A name is repeated.
        """
        if not isinstance(content, bytes):
            document: object = _Members(content.items(), is_form=True)
        elif self._is_plainly_unrepeated(content):
            return
        elif (document := _members_of(content)) is None:
            raise SignatureRejected("signature_malformed")
        is_repeated = self._root.is_repeated(document) if self._is_typed else _repeats(document, self._folded)
        if is_repeated:
            raise SignatureRejected("signature_ambiguous")

    def _is_plainly_unrepeated(self, text: bytes) -> bool:
        """Return True if a cheap check proves that no name is repeated: orjson drops repeated names when it reads."""
        text = text.lower()
        if not self._has_plain_names or b"\\u" in text or any(letter in text for letter in _ALIKE):
            return False  # without these every name has one spelling
        if b"\\" in text and any(map(text.count, self._quoted_in_texts)):
            return False
        counts = [*map(text.count, self._quoted)]
        if max(counts) < 2:
            return True
        try:
            return counts == [*map(orjson.dumps(orjson.loads(text)).count, self._quoted)]
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return False

    def _check_size(self, text: bytes) -> None:
        is_too_much = len(text) > _MAX_BYTES
        if not self._is_typed:
            is_too_much |= sum(map(text.count, (b",", b"{", b"["))) > _MAX_VALUES
        else:
            limit = _MAX_VALUES if self._batch is None else _MAX_OBJECTS
            is_too_much |= text.count(b"{") > limit or text.count(b"[") > _MAX_VALUES
        if is_too_much:
            raise SignatureRejected("signature_malformed")

    def _items(self, found: object) -> list[Any] | None:
        if self._batch is None:
            return None
        node = self._root
        for step in self._batch:
            found, node = node.member(found, step), node.members[step]
        return found if type(found) is list else None


class Node:
    """A node in the tree of places.

    Attributes:
        members: the nodes below, by member name.
        every: the node of each element, if this is the list of events.
    """

    def __init__(self) -> None:
        self.members: dict[str, Node] = {}
        self.every: Node | None = None

    @cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(name.casefold() for name in self.members)

    def add(self, steps: Sequence[str]) -> Node:
        """Add the nodes along these steps. Return the last one."""
        node = self
        for step in steps:
            node = node.members.setdefault(step, Node())
        return node

    def names(self) -> Iterator[str]:
        """Yield the names of all members below this node."""
        for name, node in self.members.items():
            yield name
            yield from node.names()

    @cached_property
    def _object(self) -> type[msgspec.Struct]:
        fields = [
            (attribute, node.kind | msgspec.UnsetType, msgspec.UNSET)
            for attribute, (_, node) in self._attributes
        ]
        return msgspec.defstruct(
            "_Object", fields, rename={attribute: name for attribute, (name, _) in self._attributes}
        )

    @cached_property
    def _attributes(self) -> list[tuple[str, tuple[str, Node]]]:
        return [(f"member{number}", item) for number, item in enumerate(self.members.items())]

    @cached_property
    def kind(self) -> Any:
        """The type of the values here. Only the node of the events may be a list."""
        found: Any = _Scalar | self._object
        if self.every is None:
            return found
        return found | list[self.every.kind]  # type: ignore[name-defined]  # a type that is made at run time

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self.kind)

    def decode(self, text: bytes) -> Any:
        """Decode a value of this node.

        Raises:
            SignatureRejected: The text is not JSON, or not of the type.
        """
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError:
            raise SignatureRejected("signature_missing") from None
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise SignatureRejected("signature_malformed") from None

    def member(self, value: object, name: str) -> object:
        """Return a member, one of :attr:`members`, of a decoded value; None if it is absent."""
        if not isinstance(value, self._object):
            return None
        attribute = next(attribute for attribute, (known, _) in self._attributes if known == name)
        return getattr(value, attribute)

    def plain(self, value: object) -> object:
        """Return a decoded value as dictionaries and strings, without the events."""
        if isinstance(value, msgspec.Struct):
            members = (
                (name, node, getattr(value, attribute)) for attribute, (name, node) in self._attributes
            )
            return {name: node.plain(member) for name, node, member in members if member is not msgspec.UNSET}
        if type(value) is str and self.members and value[:1] == "{":  # JSON inside a string
            try:
                return self.plain(self.decode(value.encode()))
            except SignatureRejected:
                return {}
        return None if type(value) is list else value

    def is_repeated(self, value: object) -> bool:
        """Return whether a name on the way to a place is repeated in an object of the whole document."""
        if isinstance(value, _Members):
            return not value.repeated.isdisjoint(self._folded) or any(
                node.is_repeated(value[name]) for name, node in self.members.items() if name in value
            )
        if type(value) is list:
            return self.every is not None and any(map(self.every.is_repeated, value))
        if type(value) is str and self.members and value[:1] == "{":
            return self.is_repeated(_members_of(value))
        return False


class _Members(dict[str, Any]):
    """A JSON object that knows its repeated names, regardless of case."""

    def __init__(self, pairs: Iterable[tuple[str, Any]], *, is_form: bool = False) -> None:
        pairs = list(pairs)
        super().__init__(pairs)
        counts = Counter[str]() if is_form else Counter(name.casefold() for name, _ in pairs)
        self.repeated = {name for name, times in counts.items() if times > 1}


def _members_of(text: bytes | str) -> object:
    """Parse JSON into objects that know their repeated names. Return None for invalid JSON."""
    try:
        return json.loads(text, object_pairs_hook=_Members, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def _repeats(value: object, names: Collection[str]) -> bool:
    """Return whether one of the names is repeated in any object, also in strings that are JSON."""
    if isinstance(value, _Members):
        return not value.repeated.isdisjoint(names) or any(
            _repeats(member, names) for member in value.values()
        )
    if type(value) is str and value[:1] == "{":
        return _repeats(_members_of(value), names)
    return type(value) is list and any(_repeats(element, names) for element in value)


def _load(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise SignatureRejected("signature_malformed") from None
