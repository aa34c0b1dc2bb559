"""JSON Schemas of events: checked at load, compiled once, never fetched."""

from gateway.events.schemas.catalogue import ENVELOPE, AdapterSchemas, Catalogue, load_file, read_document
from gateway.events.schemas.lint import SchemaError, check_document
from gateway.events.schemas.schema import MAX_VIOLATIONS, Schema, Violation

__all__ = [
    "ENVELOPE",
    "MAX_VIOLATIONS",
    "AdapterSchemas",
    "Catalogue",
    "Schema",
    "SchemaError",
    "Violation",
    "check_document",
    "load_file",
    "read_document",
]
