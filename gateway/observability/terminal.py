"""Make foreign text safe for a terminal and for lists in columns.

A payload can contain characters that move the cursor, change colours, reverse the direction of writing or are invisible.
They are replaced by their JSON escapes, which mean the same in a JSON string.
"""

from __future__ import annotations

import json
import re

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_BLANKS = re.compile(r"\s+")
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that Unicode calls printable although they are invisible."""


def printable(text: str, keep: str = "") -> str:
    """Escape everything that is not visible, except the characters in ``keep``, such as line breaks."""
    return _NOT_PLAIN.sub(
        lambda match: match[0] if match[0] in keep or _is_visible(match[0]) else json.dumps(match[0])[1:-1],
        text,
    )


def one_line(value: object) -> str:
    """Format a value as one line and collapse its white space, so that it cannot pass for several columns."""
    return printable(_BLANKS.sub(" ", str(value)).strip())


def printable_json(text: str) -> str:
    """Format JSON as one line, escaped. Outside of strings, line breaks and tabs mean no more than a space."""
    return printable(text.replace("\r", " ").replace("\n", " ").replace("\t", " "))


def _is_visible(character: str) -> bool:
    return character.isprintable() and character not in _INVISIBLE
