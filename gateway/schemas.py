"""The catalogue of JSON Schemas: found by adapter and event type, compiled once, never fetched.

jsonschema-rs decides, at compiled speed; jsonschema checks the schemas at load and explains a failure, which
is rare. Both resolve ``$ref`` only within the catalogue: a reference that leads out of it is refused at load,
so that no schema can make the gateway call an address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

import jsonschema
import jsonschema_rs
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource

from providers.sources import most_specific

ENVELOPE = "_envelope"
"""The schema of an adapter that holds for every event type that has none of its own."""

MAX_VIOLATIONS = 10
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_KEYWORDS = frozenset(jsonschema.Draft202012Validator.VALIDATORS) | {
    "$schema", "$id", "$anchor", "$defs", "$comment", "title", "description", "examples", "default",
    "deprecated", "readOnly", "writeOnly", "format", "then", "else", "minContains", "maxContains",
    "contentEncoding", "contentMediaType", "contentSchema",
}  # fmt: skip


class SchemaError(ValueError):
    """A schema cannot be used; says which one and why."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a body breaks. Never a value of the body: those may be personal.

    Attributes:
        path: a JSON Pointer to the offending part of the body.
        rule: the JSON Pointer, within the schema, of the rule.
    """

    path: str
    rule: str


class Schema:
    """One compiled schema."""

    def __init__(self, document: dict[str, Any], registry: Registry[Any]) -> None:
        self.id: str = document["$id"]
        self.title: str = document.get("title", "")
        self.description: str = document.get("description", "")
        self.examples: list[Any] = document.get("examples", [])
        self._explainer = jsonschema.Draft202012Validator(document, registry=registry)
        try:
            self._compiled = jsonschema_rs.Draft202012Validator(
                document, retriever=lambda uri: registry.get_or_retrieve(uri).value.contents
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
            raise SchemaError(f"{self.id}: {_first_line(error)}") from error
        self.is_valid = self._compiled.is_valid

    def explain(self, payload: object) -> list[Violation]:
        """The first ten rules that ``payload`` breaks, none when it is valid."""
        try:
            errors = sorted(
                self._explainer.iter_errors(payload), key=lambda error: [str(step) for step in error.path]
            )
        except (RecursionError, OverflowError) as error:
            return [Violation("", type(error).__name__)]
        violations = [
            violation for error in errors for cause in _causes(error) for violation in _violations(cause)
        ]
        return violations[:MAX_VIOLATIONS]


class Catalogue:
    """All schemas, by adapter and event type."""

    def __init__(self, documents: Mapping[tuple[str, str], dict[str, Any]]) -> None:
        """``documents`` are by (adapter, event type).

        Raises:
            SchemaError: a document is no JSON Schema 2020-12, or refers to something outside.
        """
        for (adapter, event_type), document in documents.items():
            check_document(document, f"{adapter}/{event_type}")
        self._documents = documents
        self._registry = _registry(documents.values())
        self._compiled: dict[tuple[str, str], Schema] = {}

    @classmethod
    def bundled(cls) -> Catalogue:
        """The schemas that come with the gateway."""
        return cls(dict(_read_bundled(resources.files("schemas"))))

    def adapters(self) -> list[str]:
        """The adapters that have schemas, sorted."""
        return sorted({adapter for adapter, _ in self._documents})

    def event_types(self, adapter: str) -> list[str]:
        """The event types of ``adapter`` that have a schema, sorted; the envelope is among them."""
        return sorted(event_type for owner, event_type in self._documents if owner == adapter)

    def of_adapter(self, adapter: str) -> AdapterSchemas:
        """The schemas of one adapter, compiled now rather than when the first event comes."""
        return AdapterSchemas(
            {event_type: self._get(adapter, event_type) for event_type in self.event_types(adapter)}
        )

    def find(self, adapter: str, event_type: str) -> Schema | None:
        """The schema for an event: of its type, else of the longest dotted prefix, else the adapter's envelope."""
        return self.of_adapter(adapter).find(event_type)

    def _get(self, adapter: str, event_type: str) -> Schema:
        key = adapter, event_type
        if key not in self._compiled:
            self._compiled[key] = Schema(self._documents[key], self._registry)
        return self._compiled[key]


class AdapterSchemas:
    """The compiled schemas that the events of one provider are held to."""

    def __init__(self, by_type: Mapping[str, Schema]) -> None:
        self._by_type = by_type
        self._envelope = by_type.get(ENVELOPE)

    def find(self, event_type: str) -> Schema | None:
        """The schema for an event of this type; see :meth:`Catalogue.find`."""
        return most_specific(self._by_type, event_type) or self._envelope


def load_file(path: Path) -> AdapterSchemas:
    """The one schema in ``path``, for every event of a provider.

    Raises:
        SchemaError: the file cannot be read, or is no usable schema.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SchemaError(f"{path}: {error}") from error
    check_document(document, str(path))
    document.setdefault("$id", path.resolve().as_uri())
    return AdapterSchemas({ENVELOPE: Schema(document, _registry([document]))})


def check_document(document: object, place: str) -> None:
    """Refuse what is no JSON Schema 2020-12, misspells a keyword, or refers to another address.

    Raises:
        SchemaError: with ``place`` and the reason.
    """
    if not isinstance(document, dict):
        raise SchemaError(f"{place}: is not a JSON object")
    if document.setdefault("$schema", _DIALECT) != _DIALECT:
        raise SchemaError(f"{place}: $schema must be {_DIALECT}")
    try:
        jsonschema.Draft202012Validator.check_schema(document)
    except jsonschema.SchemaError as error:
        raise SchemaError(f"{place}: {_pointer(error.absolute_path)}: {error.message}") from error
    for schema in _subschemas(document):
        if unknown := schema.keys() - _KEYWORDS:
            raise SchemaError(f"{place}: {min(unknown)!r} is not a keyword of JSON Schema 2020-12")
        reference = schema.get("$ref", "#")
        if not reference.startswith(("#", "urn:")):
            raise SchemaError(
                f"{place}: $ref {reference!r} leads out of the catalogue; references are never fetched"
            )


def _registry(documents: Any) -> Registry[Any]:
    def refuse(uri: str) -> Resource[Any]:
        raise NoSuchResource(uri)

    contents = [Resource.from_contents(document) for document in documents if "$id" in document]
    registry: Registry[Any] = Registry(retrieve=refuse)  # type: ignore[call-arg]  # made by attrs
    return contents @ registry


def _read_bundled(folder: Traversable) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for adapter in folder.iterdir():
        if adapter.is_dir():
            for file in adapter.iterdir():
                if file.name.endswith(".json"):
                    yield (adapter.name, file.name.removesuffix(".json")), json.loads(file.read_bytes())


_MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "dependentSchemas")
_LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE_SCHEMAS = (
    "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip


def _subschemas(schema: object) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword in _MAPS_OF_SCHEMAS:
        for inner in schema.get(keyword, {}).values():
            yield from _subschemas(inner)
    for keyword in _LISTS_OF_SCHEMAS:
        for inner in schema.get(keyword, []):
            yield from _subschemas(inner)
    for keyword in _SINGLE_SCHEMAS:
        yield from _subschemas(schema.get(keyword))


def _causes(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """The innermost failures: ``anyOf failed`` helps nobody."""
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from _causes(inner)


def _violations(error: jsonschema.ValidationError) -> Iterator[Violation]:
    path, rule = _pointer(error.absolute_path), _pointer(error.absolute_schema_path)
    if error.validator == "required":  # the path is of the object; what matters is what it lacks
        required = cast("list[str]", error.validator_value)
        missing = next(name for name in required if error.message.startswith(repr(name)))
        yield Violation(f"{path}{_pointer([missing])}", rule)
    else:
        yield Violation(path, rule)


def _pointer(path: Any) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
