"""Text on a terminal: safe, coloured where that is wanted, and no wider than the screen.

A payload can contain characters that move the cursor, change colours, reverse the direction of writing or are invisible.
They are replaced by their JSON escapes, which mean the same in a JSON string.
"""

from __future__ import annotations

import json
import os
import re
from typing import TextIO

from rich.cells import cell_len, set_cell_size

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
"""ANSI attributes for :func:`paint`."""

ELLIPSIS = "…"

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_BLANKS = re.compile(r"\s+")
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that Unicode calls printable although they are invisible."""


def printable(text: str, keep: str = "") -> str:
    """Escape everything invisible, except the characters in ``keep``, such as line breaks."""
    return _NOT_PLAIN.sub(
        lambda match: match[0] if match[0] in keep or _is_visible(match[0]) else json.dumps(match[0])[1:-1],
        text,
    )


def one_line(value: object) -> str:
    """Format a value as one line with single spaces, so that it cannot pass for several columns."""
    return printable(_BLANKS.sub(" ", str(value)).strip())


def printable_json(text: str) -> str:
    """Format JSON as one line, escaped. Between tokens, a line break equals a space."""
    return printable(text.replace("\r", " ").replace("\n", " ").replace("\t", " "))


def _is_visible(character: str) -> bool:
    return character.isprintable() and character not in _INVISIBLE


def is_terminal(stream: TextIO) -> bool:
    """Return whether lines in ``stream`` can be redrawn: it is a terminal that moves its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO) -> bool:
    """Return whether to colour the text in ``stream``: on terminals, unless NO_COLOR or FORCE_COLOR says otherwise."""
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR")
    return is_terminal(stream) if not forced else forced != "0"


def paint(text: str, style: str) -> str:
    """Return ``text`` in a style: the number of an ANSI attribute."""
    return f"\x1b[{style}m{text}\x1b[0m" if text else ""


def cell_width(text: str) -> int:
    """Return the columns that ``text`` takes: a Chinese character takes two."""
    if text.isascii():
        return len(text)
    return cell_len(text)


def cut(text: str, columns: int) -> str:
    """Shorten ``text`` to at most ``columns``, with an ellipsis as the last one if something is missing."""
    if cell_width(text) <= columns:
        return text
    if columns < 1:
        return ""
    return set_cell_size(text, columns - 1).rstrip() + ELLIPSIS
