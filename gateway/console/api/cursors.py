"""Cursors: where a list goes on. They are signed, so that nobody builds one and relies on how they are made."""

from __future__ import annotations

import hashlib

from gateway.console.problems import Problem
from gateway.console.security.signer import Signer

_SIZE = 12
"""Bytes of a position. A tail's has 20 bits more than the 63 of an entry's id."""


def make_cursor(signer: Signer, name: str, position: int, *conditions: str) -> str:
    """Return a cursor of the list ``name`` that is valid with the same conditions only."""
    return signer.sign(_purpose(name, conditions), position.to_bytes(_SIZE, "big"))


def open_cursor(signer: Signer, name: str, text: str, *conditions: str) -> int:
    """Return the position of a cursor.

    Raises:
        Problem: It was not made here, for this list with these conditions.
    """
    content = signer.open(_purpose(name, conditions), text)
    if content is None or len(content) != _SIZE:
        raise Problem(
            "invalid_cursor", "begin again without a cursor, or with the query that it was made for"
        )
    return int.from_bytes(content, "big")


def _purpose(name: str, conditions: tuple[str, ...]) -> str:
    return f"cursor {name} {hashlib.sha256(chr(0).join(conditions).encode()).hexdigest()}"
