"""What a signature is made of in a body of JSON: the texts at a few places, and nothing else of it.

A body whose sender is not proven is read by types that know these places alone. All else is skipped without making an
object of it, and the first thing that is not as it should be ends the reading, so that junk costs about as much as a
digest of it would.
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

_SMALL = 4 * 1024  # bytes of JSON of which all is read: no more than any request costs
_LARGEST = 8 * 1024 * 1024  # bytes of JSON that has its signature in it; senders of such have some KiB
_MOST_OBJECTS = 10_000  # in a batch whose items are signed one by one; senders have some hundred items
_MOST_VALUES = (
    20_000  # objects, and lists; all values where places cannot be told by their names, and all is read
)

_PLAIN = re.compile("[A-Za-z0-9_-]+")
_ALIKE = ("\N{KELVIN SIGN}".encode(), "\N{LATIN SMALL LETTER LONG S}".encode())
"""Letters beyond ASCII that are k and s to readers who do not look at case."""

_Scalar = str | int | float | bool | None


class Excerpt:
    """Reads the values at some places of a JSON.

    Args:
        places: ``body:/json/pointer``, and ``item:/json/pointer`` into each event of a batch.
        batch: the steps to the list of the events; None without one.

    Attributes:
        members: the names of the members of the outermost object that are read.
    """

    def __init__(self, places: Iterable[str], batch: Sequence[str] | None = None) -> None:
        named = list(places)
        self._batch = batch if any(place.startswith("item:") for place in named) else None
        self._root, self._item = _Node(), _Node()
        for place in named:
            steps = pointer_steps(place)
            self._root.add(steps)  # an item's place as well, since a body without the list is an item itself
            if place.startswith("item:"):
                self._item.add(steps)
        self._names = frozenset(chain(self._root.names(), self._item.names(), self._batch or ()))
        self._is_typed = not any(name == "*" or name.isdigit() for name in self._names)
        lowered = {name.lower().encode() for name in self._names}
        self._quoted = [b'"%b"' % name for name in lowered]
        self._quoted_in_texts = [b'\\"%b\\' % name for name in lowered]  # in a text within one as well
        self._folded = frozenset(name.casefold() for name in self._names)
        self._has_plain_names = all(map(_PLAIN.fullmatch, self._names))
        if self._batch is not None:
            self._root.add(self._batch).every = self._item
        self.members = frozenset(self._root.members)

    def read(self, text: bytes) -> Iterator[tuple[object, object]]:
        """Yield the payload and each of its items, with no more in them than is at the places.

        Raises:
            SignatureRejected: It is no JSON, is much more than its sender sends, or something else stands where a
                text should.
        """
        is_small = len(text) <= _SMALL
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
        for item in items:  # one by one: the first that is not signed is the last that is looked at
            yield payload, self._item.plain(item)

    def check_unrepeated(self, content: bytes | Mapping[str, object]) -> None:
        """Refuse a name that stands twice in one object on the way to a place, in whatever case.

        Of two members of one name some readers take the first and some the last, some look at no case, and only one
        of them is signed. A form has lists where a field is repeated, so that only the JSON in its fields is looked at.

        Raises:
            SignatureRejected: There is one.
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
        """Tell cheaply that no name is repeated: orjson drops what is when it reads a text and writes it again."""
        text = text.lower()
        if not self._has_plain_names or b"\\u" in text or any(letter in text for letter in _ALIKE):
            return False  # else a name has one spelling
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
        is_too_much = len(text) > _LARGEST
        if not self._is_typed:
            is_too_much |= sum(map(text.count, (b",", b"{", b"["))) > _MOST_VALUES
        else:
            most = _MOST_VALUES if self._batch is None else _MOST_OBJECTS
            is_too_much |= text.count(b"{") > most or text.count(b"[") > _MOST_VALUES
        if is_too_much:
            raise SignatureRejected("signature_malformed")

    def _items(self, found: object) -> list[Any] | None:
        if self._batch is None:
            return None
        node = self._root
        for step in self._batch:
            found, node = node.member(found, step), node.members[step]
        return found if type(found) is list else None


class _Node:
    """A place on the way to texts, or that of one.

    Attributes:
        members: the places below it, by the names of their members.
        every: the place that each element is, where it is the list of the events.
    """

    def __init__(self) -> None:
        self.members: dict[str, _Node] = {}
        self.every: _Node | None = None

    @cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(name.casefold() for name in self.members)

    def add(self, steps: Sequence[str]) -> _Node:
        """Return the place that these steps lead to."""
        node = self
        for step in steps:
            node = node.members.setdefault(step, _Node())
        return node

    def names(self) -> Iterator[str]:
        """Yield the names of all members below it."""
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
    def _attributes(self) -> list[tuple[str, tuple[str, _Node]]]:
        return [(f"member{number}", item) for number, item in enumerate(self.members.items())]

    @cached_property
    def kind(self) -> Any:
        """What may stand here; lists nowhere but where the events are."""
        found: Any = _Scalar | self._object
        if self.every is None:
            return found
        return found | list[self.every.kind]  # type: ignore[name-defined]  # made at run time

    @cached_property
    def _decoder(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self.kind)

    def decode(self, text: bytes) -> Any:
        """Read what stands here.

        Raises:
            SignatureRejected: It is no JSON, or not of the type.
        """
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError:
            raise SignatureRejected("signature_missing") from None
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise SignatureRejected("signature_malformed") from None

    def member(self, value: object, name: str) -> object:
        """Return a member of what was read here, which has to be one of :attr:`members`; None if absent."""
        if not isinstance(value, self._object):
            return None
        attribute = next(attribute for attribute, (known, _) in self._attributes if known == name)
        return getattr(value, attribute)

    def plain(self, value: object) -> object:
        """Return what was read here as dictionaries and texts, without the events."""
        if isinstance(value, msgspec.Struct):
            members = (
                (name, node, getattr(value, attribute)) for attribute, (name, node) in self._attributes
            )
            return {name: node.plain(member) for name, node, member in members if member is not msgspec.UNSET}
        if type(value) is str and self.members and value[:1] == "{":  # JSON within a text
            try:
                return self.plain(self.decode(value.encode()))
            except SignatureRejected:
                return {}
        return None if type(value) is list else value

    def is_repeated(self, value: object) -> bool:
        """Tell whether a name on the way to a text stands twice in an object of the whole document."""
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
    """An object of JSON that knows which of its names, in one case, stood there more than once."""

    def __init__(self, pairs: Iterable[tuple[str, Any]], *, is_form: bool = False) -> None:
        pairs = list(pairs)
        super().__init__(pairs)
        counts = Counter[str]() if is_form else Counter(name.casefold() for name, _ in pairs)
        self.repeated = {name for name, times in counts.items() if times > 1}


def _members_of(text: bytes | str) -> object:
    """Read a JSON so that its objects know what is repeated in them; None where it is none."""
    try:
        return json.loads(text, object_pairs_hook=_Members, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def _repeats(value: object, names: Collection[str]) -> bool:
    """Tell whether one of the names stands twice in any object, in texts that are JSON as well."""
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
