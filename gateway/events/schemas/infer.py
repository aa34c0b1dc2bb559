"""Propose a schema from sample bodies, in the style of the schemas in the package.

The proposal is a first draft. Workers rely on a schema, and events are validated against it, so its author should remove every
rule that no worker needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genson import SchemaBuilder  # type: ignore[import-untyped]

from gateway.events.schemas.lint import DIALECT, check_document

DEFAULT_DEPTH = 4
"""Levels of objects and lists that a proposal describes. Below them, anything passes."""


def infer(
    samples: Sequence[object],
    identifier: str,
    title: str,
    *,
    depth: int = DEFAULT_DEPTH,
    with_example: bool = False,
) -> dict[str, Any]:
    """Return a schema that all ``samples`` fit.

    Names that all samples have are required, and other names are allowed. A value that was always null may be anything.

    Args:
        samples: Bodies, one at least.
        identifier: The ``$id`` of the schema.
        title: The title of the schema.
        depth: Levels of objects and lists to describe.
        with_example: Whether the first sample becomes an example.

    Raises:
        SchemaError: The proposal does not pass the lint; less ``depth`` helps.
    """
    builder = SchemaBuilder()
    for sample in samples:
        builder.add_object(sample)
    head = {
        "$schema": DIALECT,
        "$id": identifier,
        "title": title,
        "description": "What has happened, in one sentence.",
    }
    document = head | _lean(builder.to_schema(), depth)
    if with_example:
        document["examples"] = [samples[0]]
    check_document(document, "the proposal")
    return document


def _lean(found: dict[str, Any], depth: int) -> dict[str, Any]:
    """Merge the alternatives that genson makes, one for each JSON type, into one schema."""
    alternatives = found.get("anyOf", [found])
    types = sorted(
        {name for each in alternatives for name in _types(each)}, key=lambda name: (name == "null", name)
    )
    if types in ([], ["null"]):
        return {}
    lean: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    for each in alternatives if depth else ():
        if "required" in each:
            lean["required"] = sorted(each["required"], key=list(each["properties"]).index)
        if "properties" in each:
            lean["properties"] = {name: _lean(inner, depth - 1) for name, inner in each["properties"].items()}
        if "items" in each and (items := _lean(each["items"], depth - 1)):
            lean["items"] = items
    return lean


def _types(schema: dict[str, Any]) -> list[str]:
    named = schema.get("type", [])
    return [named] if isinstance(named, str) else named
