"""JSON Schemas of events: checked at load, compiled once, never fetched."""

from gateway.events.schemas.catalogue import (
    ENVELOPE,
    YAML_SUFFIXES,
    AdapterSchemas,
    Catalogue,
    load_file,
    parse_document,
    read_document,
)
from gateway.events.schemas.lint import SchemaError, check_document
from gateway.events.schemas.schema import MAX_VIOLATIONS, Schema, Violation

__all__ = [
    "ENVELOPE",
    "MAX_VIOLATIONS",
    "YAML_SUFFIXES",
    "AdapterSchemas",
    "Catalogue",
    "Schema",
    "SchemaError",
    "Violation",
    "check_document",
    "load_file",
    "parse_document",
    "read_document",
]
