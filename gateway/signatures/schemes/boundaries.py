"""Whether the bytes that a template makes can be divided into its fields in one way only.

If not, somebody who has seen a delivery can move bytes from one field to the next, and the signature still fits:
``{id}{timestamp}`` is the same for ``evt-1`` and ``01790000000`` as for ``evt-10`` and ``1790000000``.

Fields are told apart from both ends. From the left a field is known where it ends by itself (JSON, a moment) or has
no character that what follows can begin with; from the right likewise. One field may remain in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from gateway.signatures.schemes.template import REWRITTEN, split_template
from gateway.signatures.schemes.timestamps import Unit

_ANY = frozenset(range(256))
_VISIBLE = frozenset(range(0x21, 0x7F))
_HEADER = _ANY - frozenset(range(0x20)) - {0x7F} | {0x09}
_DIGITS = frozenset(b"0123456789")
_OF_ISO = _DIGITS | frozenset(b"TtZz:.,+- ")
_UPPER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_JSON_FIRST, _JSON_LAST = frozenset(b'{["'), frozenset(b'}]"')
_NOTHING: frozenset[int] = frozenset()

_ALPHABETS: Mapping[str, AbstractSet[int]] = {
    "method": _UPPER,
    "path": _VISIBLE - {ord("?")},
    "query": _VISIBLE,
    "url": _VISIBLE,
    "url:decoded": _VISIBLE,
    "id": _HEADER,
}
_FIRST: Mapping[str, AbstractSet[int]] = {
    "path": frozenset(b"/"),
    "url": frozenset(b"h"),
    "url:decoded": frozenset(b"h"),
}
_SHAPED: AbstractSet[Unit] = {"rfc3339", "http_date"}
"""Moments of which no beginning and no end is another one."""

_COUNTED: AbstractSet[Unit] = {"s", "ms", "us", "ns"}
"""Moments that have as many digits today as any other; with more or fewer they are out of tolerance."""


def ambiguity(
    template: str, unit: Unit | None, *, is_json: bool, alphabets: Mapping[str, str]
) -> tuple[str, str] | None:
    """Find two fields of a template of which nobody can say where one ends and the other begins.

    Args:
        template: the template.
        unit: how its timestamp is written.
        is_json: whether every body is JSON, of which no proper beginning and no proper end is JSON.
        alphabets: fields, and the characters that their values are made of, as a character class.
    """
    pieces = split_template(template)
    fields = [_Field(text, unit, is_json, alphabets.get(text)) for text in pieces[1::2]]
    literals = [text.encode() for text in pieces[::2]]
    left, right = 0, len(fields) - 1
    while left < right and (
        fields[left].ends_before(_first_of(fields, literals, left + 1))
        or fields[left].ends_at(literals[left + 1], fields[left + 1])
    ):
        left += 1
    while left < right and fields[right].begins_after(_last_of(fields, literals, right - 1)):
        right -= 1
    return (pieces[2 * left + 1], pieces[2 * left + 3]) if left < right else None


class _Field:
    """A field of a template.

    Attributes:
        alphabet: the bytes that its values are made of.
        first: those that they begin with.
        last: those that they end with.
        is_optional: whether they may be empty.
    """

    def __init__(self, text: str, unit: Unit | None, is_json: bool, alphabet: str | None) -> None:
        self._is_json = (text == "body" and is_json) or text.startswith(("json:", REWRITTEN))
        self._is_counted = text == "timestamp" and unit in _COUNTED
        # The secret is known here, and to nobody who could move bytes into it or out of it.
        self._is_told = self._is_json or text == "secret" or (text == "timestamp" and unit in _SHAPED)
        self._is_iso = text == "timestamp" and unit == "iso8601"
        self._starts_itself = self._is_told or self._is_iso
        self.alphabet = _alphabet_of(text, unit, alphabet)
        self.first = _JSON_FIRST if self._is_json else _FIRST.get(text, self.alphabet)
        self.last = _JSON_LAST if self._is_json else self.alphabet
        if text == "secret":
            self.first = self.last = _NOTHING
        self.is_optional = text.startswith(("body:", "item:")) or text in {"query", "form"}

    def ends_before(self, following: AbstractSet[int]) -> bool:
        """Whether it is known where it ends, once it is known where it begins."""
        return self._is_told or self._is_counted or self.alphabet.isdisjoint(following)

    def ends_at(self, literal: bytes, following: _Field) -> bool:
        """Tell whether it is a moment that ends at a dot: one that no digit follows begins no fraction."""
        return (
            self._is_iso
            and literal == b"."
            and not following.is_optional
            and following.first.isdisjoint(_DIGITS)
        )

    def begins_after(self, preceding: AbstractSet[int]) -> bool:
        """Whether it is known where it begins, once it is known where it ends."""
        return self._starts_itself or self.alphabet.isdisjoint(preceding)


def _alphabet_of(text: str, unit: Unit | None, alphabet: str | None) -> AbstractSet[int]:
    if alphabet is not None:
        known = re.compile(f"[{alphabet}]".encode())
        return frozenset(byte for byte in _ANY if known.fullmatch(bytes([byte])))
    if text == "timestamp":
        return (
            _OF_ISO if unit == "iso8601" else _DIGITS | (frozenset(b".") if unit == "decimal" else _NOTHING)
        )
    return _HEADER if text.startswith("header:") else _ALPHABETS.get(text, _ANY)


def _first_of(fields: list[_Field], literals: list[bytes], position: int) -> AbstractSet[int]:
    """What the text can begin with that stands from the literal before a field on."""
    if literals[position]:
        return {literals[position][0]}
    if position == len(fields):
        return _NOTHING
    field = fields[position]
    return field.first | (_first_of(fields, literals, position + 1) if field.is_optional else _NOTHING)


def _last_of(fields: list[_Field], literals: list[bytes], position: int) -> AbstractSet[int]:
    """What the text can end with that stands up to the literal behind a field."""
    if literals[position + 1]:
        return {literals[position + 1][-1]}
    if position < 0:
        return _NOTHING
    field = fields[position]
    return field.last | (_last_of(fields, literals, position - 1) if field.is_optional else _NOTHING)
