"""The shape of a payload: its names, and the type of each value instead of the value."""

from __future__ import annotations

from typing import Any

_MAX_DEPTH = 8
"""Levels of nesting that a shape has; what is below is only named."""

_MAX_NAMES = 100
"""Names of an object that a shape has; the rest is counted."""

_MAX_NAME_LENGTH = 100
"""Characters of a name; a map with values of customers as its names must not become a page of text."""

_MAX_ITEM_SHAPES = 3
"""Different shapes of the items of a list that are given."""


def shape_of(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return the shape of a JSON value: objects keep their names, other values are described in words.

    A shape says nothing of a value but its type and length.
    """
    if isinstance(value, dict):
        return _shape_of_object(value, depth) if depth else f"object, {_count(len(value), 'name')}"
    if isinstance(value, list):
        return _shape_of_list(value, depth) if depth else f"list, {_count(len(value), 'item')}"
    if isinstance(value, str):
        return f"string, {_count(len(value), 'character')}" if value else "empty string"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "number"


def _shape_of_object(value: dict[str, Any], depth: int) -> dict[str, Any]:
    shown = {
        name[:_MAX_NAME_LENGTH]: shape_of(inner, depth - 1)
        for name, inner in list(value.items())[:_MAX_NAMES]
    }
    if (more := len(value) - _MAX_NAMES) > 0:
        shown["…"] = _count(more, "more name")
    return shown


def _shape_of_list(value: list[Any], depth: int) -> list[Any]:
    shapes: list[Any] = []
    for item in value[:_MAX_NAMES]:
        shape = shape_of(item, depth - 1)
        if shape not in shapes and len(shapes) < _MAX_ITEM_SHAPES:
            shapes.append(shape)
    return [*shapes, _count(len(value), "item")] if len(value) > 1 else shapes


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
