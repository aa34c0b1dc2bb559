"""The catalogue of JSON Schemas: found by adapter and event type, read and compiled when they are needed.

A gateway has some adapters of very many, and a sender sends some event types of very many. So the schemas of an
adapter are read when it is configured, and each is compiled for its first event, which takes less than a
millisecond. That all of them are usable is for the tests and for ``gateway check``.

``$ref`` is resolved only among the schemas of the adapter: a reference that leads out of them is refused, so that
no schema can make the gateway call an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.bundled import bundled
from gateway.events.schemas.lint import SchemaError, check_document
from gateway.events.schemas.schema import Schema
from gateway.signatures.extractors import most_specific
from gateway.transport.files import FileTooLarge, read_file

ENVELOPE = "_envelope"
"""The schema of an adapter that holds for every event type that has none of its own."""

_MAX_FILE = 1024**2
"""Bytes of a schema file."""

_SUFFIX = ".json"


class Catalogue:
    """All schemas, by adapter and event type.

    Args:
        folder: has a folder for each adapter, with a file for each event type.
    """

    def __init__(self, folder: Traversable) -> None:
        self._folder = folder
        self._read: dict[str, AdapterSchemas] = {}

    @classmethod
    def bundled(cls) -> Catalogue:
        """The schemas that come with the gateway."""
        return cls(bundled("schemas"))

    def adapters(self) -> list[str]:
        """The adapters that have schemas, sorted."""
        return sorted(entry.name for entry in self._folder.iterdir() if _files(entry))

    def event_types(self, adapter: str) -> list[str]:
        """The event types of ``adapter`` that have a schema, sorted; the envelope is among them."""
        names = (file.name.removesuffix(_SUFFIX) for file in _files(self._folder / adapter))
        return sorted(name for name in names if name == ENVELOPE or not _is_part(name))

    def name_for(self, adapter: str, event_type: str) -> str | None:
        """The event type whose schema holds for an event of this type, in the order of :meth:`find`."""
        names = {name: name for name in self.event_types(adapter)}
        return most_specific(names, event_type) or names.get(ENVELOPE)

    def document(self, adapter: str, event_type: str) -> dict[str, Any]:
        """The schema of exactly this event type, as it is written.

        Raises:
            KeyError: there is none.
        """
        return self.of_adapter(adapter).documents[event_type]

    def of_adapter(self, adapter: str) -> AdapterSchemas:
        """The schemas of one adapter."""
        if adapter not in self._read:
            self._read[adapter] = AdapterSchemas(
                {
                    file.name.removesuffix(_SUFFIX): orjson.loads(file.read_bytes())
                    for file in _files(self._folder / adapter)
                }
            )
        return self._read[adapter]

    def find(self, adapter: str, event_type: str) -> Schema | None:
        """The schema for an event: of its type, else of the longest dotted prefix, else the adapter's envelope."""
        return self.of_adapter(adapter).find(event_type)


class AdapterSchemas:
    """The schemas that the events of one provider are held to.

    Args:
        documents: by event type; names that begin with ``_`` are no types, but the envelope and what others refer to.

    Attributes:
        documents: these.
    """

    def __init__(self, documents: Mapping[str, dict[str, Any]]) -> None:
        self.documents = documents
        self._of_types = {name: name for name in documents if not _is_part(name)}
        self._by_id = {document["$id"]: document for document in documents.values()}
        self._compiled: dict[str, Schema] = {}

    def find(self, event_type: str) -> Schema | None:
        """The schema for an event of this type; see :meth:`Catalogue.find`."""
        return self.get(most_specific(self._of_types, event_type) or ENVELOPE)

    def get(self, name: str) -> Schema | None:
        """The schema of that very name.

        Raises:
            SchemaError: it refers to something outside.
        """
        schema = self._compiled.get(name)
        if schema is None and name in self.documents:
            schema = self._compiled[name] = Schema(self.documents[name], self._by_id)
        return schema

    def check(self) -> None:
        """Refuse what cannot be used, before an event comes.

        Raises:
            SchemaError: with every problem of each schema.
        """
        problems: list[str] = []
        for name, document in self.documents.items():
            try:
                check_document(document, document["$id"])
                self.get(name)
            except SchemaError as error:
                problems += error.args
        if problems:
            raise SchemaError(*problems)


def load_file(path: Path) -> AdapterSchemas:
    """The one schema in ``path``, for every event of a provider.

    Raises:
        SchemaError: the file cannot be read, or is no usable schema.
    """
    document = read_document(path)
    document.setdefault("$id", path.resolve().as_uri())
    schemas = AdapterSchemas({ENVELOPE: document})
    schemas.check()
    return schemas


def read_document(path: Path) -> dict[str, Any]:
    """The schema in ``path``, as it is written.

    Raises:
        SchemaError: the file cannot be read, or what is in it does not pass the lint.
    """
    try:
        content = read_file(path, _MAX_FILE)
    except FileTooLarge:
        raise SchemaError(f"{path}: is larger than 1MiB") from None
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        document: dict[str, Any] = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"{path}: is not JSON: {error}") from error
    check_document(document, str(path))
    return document


def _files(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    return [file for file in folder.iterdir() if file.name.endswith(_SUFFIX)]


def _is_part(name: str) -> bool:
    return name.startswith("_")
