"""Check schema documents against JSON Schema's own schema, with jsonschema: loaded only where a document is checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jsonschema

KEYWORDS = frozenset(jsonschema.Draft202012Validator.VALIDATORS) - {"format", "$dynamicRef"} | {
    "$schema", "$id", "$anchor", "$defs", "$comment", "title", "description", "examples", "default",
    "deprecated", "readOnly", "writeOnly", "then", "else", "minContains", "maxContains",
    "contentEncoding", "contentMediaType", "contentSchema",
}  # fmt: skip
"""The keywords that a schema may have."""

_NO_FORMATS = jsonschema.FormatChecker(())
"""Checks no formats: whether a pattern is valid is up to the engine that runs it, and Python's has another grammar."""


def problem_of(document: dict[str, Any]) -> tuple[Sequence[str | int], str] | None:
    """Return the place and the text of what is wrong with a schema as such; None if nothing is."""
    try:
        jsonschema.Draft202012Validator.check_schema(document, _NO_FORMATS)
    except jsonschema.SchemaError as error:
        return list(error.absolute_path), error.message
    return None
