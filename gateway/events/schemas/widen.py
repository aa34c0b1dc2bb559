"""Widen a schema until samples pass that it refuses, and no further.

Each rule that a sample breaks is loosened where it stands: a missing name is no longer required, a type is added, any
other rule is removed. No value of a sample gets into the schema.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.events.schemas.lint import SchemaError, check_document, subschemas
from gateway.events.schemas.schema import Schema, Violation

_MAX_ROUNDS = 1000
"""Rounds after which widening is given up. Each loosens a rule of the schema, so that far fewer are needed."""

_ABOUT = ("$schema", "$id", "title", "description", "examples")
"""Keywords about a document, which say nothing once it is part of another."""

_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),  # before int, of which it is a subclass
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
    (type(None), "null"),
)


def standalone(document: Mapping[str, Any], by_id: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a copy of a schema in which the documents that it refers to are written out.

    Return None if that is not possible: a document refers to a part of another, or to itself.
    """
    whole = copy.deepcopy(dict(document))
    for _ in range(len(by_id) + 1):
        references = [part for _, part in subschemas(whole) if part.get("$ref") in by_id]
        if not references:
            return whole if not _leads_out(whole) else None
        for part in references:
            target = by_id[part.pop("$ref")]
            if any("$ref" in inner and inner["$ref"] not in by_id for _, inner in subschemas(target)):
                return None  # it refers to its own parts, which would be looked for in the wrong document
            rules = {name: value for name, value in target.items() if name not in _ABOUT}
            part["allOf"] = [copy.deepcopy(rules), *part.get("allOf", [])]
    return None


def widen(document: Mapping[str, Any], samples: Sequence[object]) -> dict[str, Any] | None:
    """Return a copy of a schema that stands alone, loosened until all samples pass.

    Return None if that is not possible, as for a rule that is reached by way of a reference to itself.
    """
    wide = copy.deepcopy(dict(document))
    try:
        for sample in samples:
            for _ in range(_MAX_ROUNDS):
                schema = Schema(wide, {})
                if schema.is_valid(sample):
                    break
                changes = [_loosen(wide, violation, sample) for violation in schema.explain(sample)]
                if not any(changes):
                    return None
            else:
                return None
        check_document(wide, "the proposal")
    except SchemaError:
        return None
    return wide


def _leads_out(document: dict[str, Any]) -> bool:
    return any(
        not str(part[keyword]).startswith("#")
        for _, part in subschemas(document)
        for keyword in ("$ref", "$dynamicRef")
        if keyword in part
    )


def _loosen(document: dict[str, Any], violation: Violation, sample: object) -> bool:
    """Loosen the rule that was broken; return whether the schema has changed."""
    place = _find(document, _steps(violation.rule))
    if place is None:
        return False
    part, keyword = place
    if keyword not in part:
        return False  # loosened already, for another value
    rule, steps = part[keyword], _steps(violation.path)
    # A property may be called "required" or "type", too: its schema is no list or word.
    if keyword == "required" and isinstance(rule, list) and steps and steps[-1] in rule:
        part[keyword] = [name for name in rule if name != steps[-1]]
    elif keyword == "type" and isinstance(rule, str | list):
        part[keyword] = _with_type([rule] if isinstance(rule, str) else rule, _type_at(sample, steps))
    else:
        part[keyword] = []
    if not part[keyword]:
        del part[keyword]
    return True


def _with_type(known: list[str], found: str | None) -> str | list[str]:
    """Return types with one more; nothing if that is unknown, or cannot be what was missing."""
    if found is None or found in known:
        return []
    if found == "number" and "integer" in known:  # which is a number
        wider = ["number" if each == "integer" else each for each in known]
    else:
        wider = [*known, found]
    return wider if len(wider) > 1 else wider[0]


def _find(document: dict[str, Any], steps: list[str]) -> tuple[dict[str, Any], str] | None:
    """Return the part of a schema that a rule is in, and the keyword of the rule."""
    part: Any = document
    for place, step in enumerate(steps):
        if isinstance(part, dict) and step == "$ref":
            part = _resolve(document, _steps(str(part.get("$ref", "")).removeprefix("#")))
        elif isinstance(part, dict) and place == len(steps) - 1:
            return part, step
        else:
            part = _resolve(part, [step])
    return None


def _type_at(sample: object, steps: list[str]) -> str | None:
    """Return the JSON type of a value; None if it is not found, because its name is too long for a path."""
    try:
        value = _resolve(sample, steps, is_strict=True)
    except LookupError:
        return None
    return next((name for kind, name in _TYPES if isinstance(value, kind)), None)


def _resolve(value: Any, steps: list[str], *, is_strict: bool = False) -> Any:
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif is_strict:
            raise LookupError(step)
        else:
            return None
    return value


def _steps(pointer: str) -> list[str]:
    """Return the steps of a JSON Pointer."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
