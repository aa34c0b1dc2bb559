"""The catalogue of JSON Schemas: found by adapter and event type.

``$ref`` is resolved only within the catalogue: a reference that leads out of it is refused at load, so that no
schema can make the gateway call an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import orjson

from gateway.schemas.lint import SchemaError, check_document
from gateway.schemas.schema import Schema
from providers.sources import most_specific

ENVELOPE = "_envelope"
"""The schema of an adapter that holds for every event type that has none of its own."""

_MAX_FILE = 1024**2
"""Bytes of a schema file."""


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
        self._by_id = {document["$id"]: document for document in documents.values()}
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

    def name_for(self, adapter: str, event_type: str) -> str | None:
        """The event type whose schema holds for an event of this type, in the order of :meth:`find`."""
        names = {name: name for name in self.event_types(adapter)}
        return most_specific(names, event_type) or names.get(ENVELOPE)

    def document(self, adapter: str, event_type: str) -> dict[str, Any]:
        """The schema of exactly this event type, as it is written.

        Raises:
            KeyError: there is none.
        """
        return self._documents[adapter, event_type]

    def by_id(self) -> Mapping[str, dict[str, Any]]:
        """All schemas by their ``$id``, by which they may refer to each other."""
        return self._by_id

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
            self._compiled[key] = Schema(self._documents[key], self._by_id)
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
    document = read_document(path)
    document.setdefault("$id", path.resolve().as_uri())
    return AdapterSchemas({ENVELOPE: Schema(document, {document["$id"]: document})})


def read_document(path: Path) -> dict[str, Any]:
    """The schema in ``path``, as it is written.

    Raises:
        SchemaError: the file cannot be read, or what is in it does not pass the lint.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _MAX_FILE:
        raise SchemaError(f"{path}: is larger than 1MiB")
    try:
        document: dict[str, Any] = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"{path}: is not JSON: {error}") from error
    check_document(document, str(path))
    return document


def _read_bundled(folder: Traversable) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for adapter in folder.iterdir():
        if adapter.is_dir():
            for file in adapter.iterdir():
                if file.name.endswith(".json"):
                    yield (adapter.name, file.name.removesuffix(".json")), orjson.loads(file.read_bytes())
