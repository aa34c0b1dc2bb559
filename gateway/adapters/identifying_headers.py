"""The header fields by which a provider identifies an event, for requests that are made in its place."""

from __future__ import annotations

from gateway.adapters.spec import AdapterSpec
from gateway.signatures.extractors import Sources, header_name, places_of


def type_header(spec: AdapterSpec, event_type: str) -> tuple[str, str] | None:
    """Return the field with the event type, and its value; None if the type is elsewhere.

    The value has no action, which is in the body.
    """
    for place in places_of(spec.event_type):
        if header_name(place):
            return field_of(place), event_type.partition(".")[0] if spec.event_action else event_type
    return None


def header_of(sources: Sources | None) -> str | None:
    """Return the first field that alone holds what some sources name; None if there is none."""
    named = [sources] if isinstance(sources, str) else sources or []
    return next((field_of(source) for source in named if header_name(source) and "{" not in source), None)


def field_of(place: str) -> str:
    """Return the name in a place, such as that of a header field."""
    return place.partition(":")[2]
