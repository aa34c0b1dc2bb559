"""Ambiguity of templates: can the signed bytes be divided into fields in more than one way?

If so, anybody who has seen a request can move bytes from one field to the next, and the signature still matches:
``{id}{timestamp}`` is the same for ``evt-1`` and ``01790000000`` as for ``evt-10`` and ``1790000000``.

Fields are delimited from both ends. From the left the end of a field is known if it is self-delimiting (JSON, a
timestamp) or if none of its characters can begin the text after it; from the right likewise. One field may remain in the
middle.
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
"""Units in which no proper prefix or suffix of a timestamp is a timestamp."""

_COUNTED: AbstractSet[Unit] = {"s", "ms", "us", "ns"}
"""Units in which all current timestamps have the same number of digits; others are outside any tolerance."""


def ambiguity(
    template: str, unit: Unit | None, *, is_json: bool, alphabets: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return two adjacent fields of a template whose boundary is ambiguous; None if there are none.

    Args:
        template: the template.
        unit: how its timestamp is written.
        is_json: whether every body is JSON, no proper prefix or suffix of which is JSON.
        alphabets: fields, and the characters that their values consist of, as a character class.
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
        alphabet: the bytes that its values consist of.
        first: the bytes that they can begin with.
        last: the bytes that they can end with.
        is_optional: whether they may be empty.
    """

    def __init__(self, text: str, unit: Unit | None, is_json: bool, alphabet: str | None) -> None:
        self._is_json = (text == "body" and is_json) or text.startswith(("json:", REWRITTEN))
        self._is_counted = text == "timestamp" and unit in _COUNTED
        # Nobody who knows only signed requests can move bytes into the secret or out of it.
        self._is_delimited = self._is_json or text == "secret" or (text == "timestamp" and unit in _SHAPED)
        self._is_iso = text == "timestamp" and unit == "iso8601"
        self._starts_itself = self._is_delimited or self._is_iso
        self.alphabet = _alphabet_of(text, unit, alphabet)
        self.first = _JSON_FIRST if self._is_json else _FIRST.get(text, self.alphabet)
        self.last = _JSON_LAST if self._is_json else self.alphabet
        if text == "secret":
            self.first = self.last = _NOTHING
        self.is_optional = text.startswith(("body:", "item:")) or text in {"query", "form"}

    def ends_before(self, following: AbstractSet[int]) -> bool:
        """Return whether the end of the field is known if its beginning is."""
        return self._is_delimited or self._is_counted or self.alphabet.isdisjoint(following)

    def ends_at(self, literal: bytes, following: _Field) -> bool:
        """Return whether the field is a timestamp that a dot ends: without a digit after it no fraction begins."""
        return (
            self._is_iso
            and literal == b"."
            and not following.is_optional
            and following.first.isdisjoint(_DIGITS)
        )

    def begins_after(self, preceding: AbstractSet[int]) -> bool:
        """Return whether the beginning of the field is known if its end is."""
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
    """Return the bytes that can begin the text from the literal before a field on."""
    if literals[position]:
        return {literals[position][0]}
    if position == len(fields):
        return _NOTHING
    field = fields[position]
    return field.first | (_first_of(fields, literals, position + 1) if field.is_optional else _NOTHING)


def _last_of(fields: list[_Field], literals: list[bytes], position: int) -> AbstractSet[int]:
    """Return the bytes that can end the text up to the literal after a field."""
    if literals[position + 1]:
        return {literals[position + 1][-1]}
    if position < 0:
        return _NOTHING
    field = fields[position]
    return field.last | (_last_of(fields, literals, position - 1) if field.is_optional else _NOTHING)
