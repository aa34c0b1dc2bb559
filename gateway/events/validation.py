"""What the schemas say of an event."""

from __future__ import annotations

from typing import NamedTuple

from gateway.adapters.identity import clean_attribute
from gateway.events.schemas import AdapterSchemas


class Validation(NamedTuple):
    """What the schemas say of an event.

    Attributes:
        schema_id: the schema that it passed, None when there is none or it did not.
        violations: the rules that it breaks, for people; never a value of the body. None when it breaks none.
    """

    schema_id: str | None
    violations: str | None


UNKNOWN = Validation(None, None)
UNTYPED = Validation(None, "/: the event type is missing")
UNREADABLE = Validation(None, "/: it has a number that no reader of JSON takes")
NO_OBJECT = Validation(None, "/: the event is not an object")


def judge(schemas: AdapterSchemas, event_type: str, payload: object) -> Validation:
    """Whether ``payload`` is what an event of this type is to be."""
    schema = schemas.find(event_type)
    if schema is None:
        return UNKNOWN
    if schema.is_valid(payload):
        return Validation(schema.id, None)
    broken = "; ".join(
        f"{violation.path or '/'}: {violation.rule or '/'}" for violation in schema.explain(payload)
    )
    return Validation(None, clean_attribute(broken) or "/: /")
