"""Violations in words: what is asked for, and never what was sent."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.events.schemas.catalogue import AdapterSchemas
from gateway.events.validation import validate


def violations(rule: dict[str, Any], value: object) -> str | None:
    """Return what is said about ``value`` under this rule."""
    schemas = AdapterSchemas({"made": {"$id": "urn:made", "type": "object", "properties": {"total": rule}}})
    return validate(schemas, "made", {"total": value}).violations


@pytest.mark.parametrize(
    ("rule", "value", "text"),
    [
        ({"type": "number"}, "Mallory", "must be a number, is a string"),
        ({"type": ["integer", "null"]}, {"a": 1}, "must be an integer or null, is an object"),
        ({"type": "string"}, None, "must be a string, is null"),
        ({"type": "array"}, True, "must be an array, is a boolean"),
        ({"type": "object"}, [1], "must be an object, is an array"),
        ({"type": "object"}, 1.5, "must be an object, is a number"),
        ({"required": ["a"]}, {}, None),
        ({"const": "order"}, "Mallory", 'must be "order"'),
        ({"enum": ["open", 1, None]}, "Mallory", 'must be one of "open", 1, null'),
        ({"enum": list(range(20))}, "Mallory", "is not one of the 20 allowed values"),
        ({"minimum": 3}, 1, "must be at least 3"),
        ({"exclusiveMaximum": 3}, 3, "must be less than 3"),
        ({"maxLength": 2}, "Mallory", "must have at most 2 characters"),
        ({"minItems": 2}, [1], "must have at least 2 items"),
        ({"pattern": "^a+$"}, "Mallory", "must match ^a+$"),
        ({"pattern": f"^{'a' * 99}$"}, "Mallory", "does not match the pattern"),
        ({"additionalProperties": False}, {"Mallory": 1}, "is not allowed, or has members that are not"),
    ],
    ids=str,
)
def test_a_violation_says_what_is_asked_for(rule: dict[str, Any], value: object, text: str | None) -> None:
    """With the place in the body."""
    said = violations(rule, value)

    assert said == (f"/total: {text}" if text else "/total/a: is missing")
    assert "Mallory" not in said
