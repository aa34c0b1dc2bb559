"""Validate events against JSON Schemas."""

from __future__ import annotations

from typing import NamedTuple

from gateway.adapters.identity import clean_attribute
from gateway.events.schemas import AdapterSchemas


class Validation(NamedTuple):
    """The result of a validation.

    Attributes:
        schema_id: The id of the schema that the event passed; None if it failed, or if no schema exists for it.
        violations: The rules that the event breaks, for operators, without any value of the body; None if it breaks none.
    """

    schema_id: str | None
    violations: str | None


UNKNOWN = Validation(None, None)
"""No schema exists for the event."""

UNTYPED = Validation(None, "/: the event type is missing")
"""The event has no type, so that no schema can be found for it."""

UNREADABLE = Validation(None, "/: it has a number that no reader of JSON takes")
"""The event has a number beyond a double, for which most JSON parsers reject all of it."""

NO_OBJECT = Validation(None, "/: the event is not an object")
"""The item of a list is not a JSON object."""


def validate(schemas: AdapterSchemas, event_type: str, payload: object) -> Validation:
    """Validate ``payload`` against the schema for events of this type."""
    schema = schemas.find(event_type)
    if schema is None:
        return UNKNOWN
    if schema.is_valid(payload):
        return Validation(schema.id, None)
    broken = "; ".join(f"{violation.path or '/'}: {violation.text}" for violation in schema.explain(payload))
    return Validation(None, clean_attribute(broken) or "/: does not match the schema")
