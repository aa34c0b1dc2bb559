"""Ids of entries in addresses, cursors and on the command line: 13 digits of Crockford's base32.

A decimal number of 19 digits is hard to read aloud and to compare. The digits have no I, L, O or U, sort as the
numbers do, and are read in upper and lower case.
"""

from __future__ import annotations

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)} | {"i": 1, "l": 1, "o": 0}

LENGTH = 13
"""Digits of an id: 65 bits, of which an id has 63."""


def format_entry_id(number: int) -> str:
    """Return the text of an entry's id."""
    return "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))


def parse_entry_id(text: str) -> int:
    """Return the id that a text stands for.

    Raises:
        ValueError: It is not the id of an entry.
    """
    number = 0
    if len(text) != LENGTH:
        raise ValueError("the id of an entry has 13 digits")
    for digit in text.lower():
        if digit not in _VALUES:
            raise ValueError("the id of an entry has a character that is no digit")
        number = number << 5 | _VALUES[digit]
    if number >= 1 << 63:
        raise ValueError("the id of an entry is too large")
    return number
