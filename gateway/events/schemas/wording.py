"""Violations in words. They say what the schema asks for and of what type a value is, but never the value: it may be personal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_MAX_OPTIONS = 5
"""Values of an enumeration that are listed; of a longer one the number says enough."""

_MAX_LENGTH = 60
"""Characters of a constant or a pattern of the schema; a longer one is left out, because a header is short."""

_ARTICLES = {"null": "null", "object": "an object", "array": "an array", "integer": "an integer"}

_LIMITS = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} members",
    "maxProperties": "must have at most {} members",
    "format": "must be in the format {}",
}
"""The texts of the keywords that have one limit each."""

_FIXED = {
    "required": "is missing",
    "uniqueItems": "has an item twice",
    "contains": "has none of the required items",
    "additionalProperties": "has members that the schema does not allow",
    "unevaluatedProperties": "has members that the schema does not allow",
    "additionalItems": "has items that the schema does not allow",
    "unevaluatedItems": "has items that the schema does not allow",
    "propertyNames": "has a member whose name the schema does not allow",
    "falseSchema": "is not allowed, or has members that are not",
    "anyOf": "matches none of the allowed alternatives",
    "oneOf": "does not match exactly one of the allowed alternatives",
    "not": "is what the schema excludes",
}


def describe(keyword: str, asked: Any, value: object) -> str:
    """Describe how a value breaks a rule.

    Args:
        keyword: The keyword of JSON Schema that the value breaks.
        asked: What the schema has under that keyword.
        value: The offending value, of which only the type is used, and only for the keyword ``type``.
    """
    match keyword:
        case "type":
            types: Sequence[str] = [asked] if isinstance(asked, str) else asked
            wanted = sorted(types, key=lambda name: name == "null")
            return f"must be {' or '.join(map(_with_article, wanted))}, is {_type_of(value)}"
        case "const":
            return f"must be {_short(asked)}"
        case "enum" if len(asked) <= _MAX_OPTIONS:
            return f"must be one of {', '.join(map(_short, asked))}"
        case "enum":
            return f"is not one of the {len(asked)} allowed values"
        case "pattern":
            return f"must match {asked}" if len(asked) <= _MAX_LENGTH else "does not match the pattern"
    if keyword in _LIMITS:
        return _LIMITS[keyword].format(asked)
    return _FIXED.get(keyword, f"breaks the rule {keyword}")


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_LENGTH else f"a certain {_type_of(value).split()[-1]}"


def _with_article(name: str) -> str:
    return _ARTICLES.get(name, f"a {name}")


def _type_of(value: object) -> str:
    match value:
        case None:
            name = "null"
        case bool():
            name = "boolean"
        case int() | float():
            name = "number"
        case str():
            name = "string"
        case list():
            name = "array"
        case _:
            name = "object"
    return _with_article(name)
