"""Schemas as text, in the style of the bundled files."""

from __future__ import annotations

import json
from typing import Any

_MAX_LINE = 88
"""Characters of a line up to which a flat object or list is in one line, as in the bundled files."""


def format_schema(value: Any, indent: str = "") -> str:
    """Format JSON like the bundled schemas: an object or list that is short and flat is in one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return line
    inner = value.values() if isinstance(value, dict) else value
    is_flat = not any(isinstance(each, dict) for each in inner)
    if is_flat and len(indent + line) <= _MAX_LINE:
        return f"{{ {line[1:-1]} }}" if isinstance(value, dict) else line
    deeper = indent + "  "
    lines = (
        [
            f"{json.dumps(name, ensure_ascii=False)}: {format_schema(each, deeper)}"
            for name, each in value.items()
        ]
        if isinstance(value, dict)
        else [format_schema(each, deeper) for each in value]
    )
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(deeper + line for line in lines), indent + closing])
