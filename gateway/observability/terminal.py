"""Text that others wrote, made fit for a terminal and for lists in columns.

A payload can hold what moves the cursor, changes colours, turns the direction of writing round, or cannot be seen.
All of that is shown as JSON escapes it, which in a text of JSON means the same as before.
"""

from __future__ import annotations

import json
import re

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_BLANKS = re.compile(r"\s+")
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that are printable by Unicode, and show nothing."""


def printable(text: str, keep: str = "") -> str:
    """Escape all that is not seen as it is, but for the characters in ``keep``, such as line breaks."""
    return _NOT_PLAIN.sub(
        lambda match: match[0] if match[0] in keep or _is_seen(match[0]) else json.dumps(match[0])[1:-1], text
    )


def one_line(value: object) -> str:
    """Write a value in one line in which every run of blanks is one, so that it cannot pass for several columns."""
    return printable(_BLANKS.sub(" ", str(value)).strip())


def printable_json(text: str) -> str:
    """Write JSON in one line, escaped: outside of its texts, line breaks and tabs mean no more than a blank."""
    return printable(text.replace("\r", " ").replace("\n", " ").replace("\t", " "))


def _is_seen(character: str) -> bool:
    return character.isprintable() and character not in _UNSEEN
