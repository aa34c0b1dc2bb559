"""The catalogue of JSON Schemas, which are read and compiled on demand.

A gateway uses a few adapters of nearly two hundred, and a provider sends a few of its event types. So the schemas of an
adapter are read when a provider is configured, and each is compiled for its first event, which takes less than a
millisecond. The tests and ``gateway check`` make sure that all of them are usable.

``$ref`` is resolved among the schemas of the adapter only. A reference that leads out of them is refused, so that no
schema can make the gateway call an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import orjson
import yaml

from gateway.adapters.bundled import bundled
from gateway.events.schemas.lint import SchemaError, check_document
from gateway.events.schemas.schema import Schema
from gateway.signatures.extractors import most_specific
from gateway.transport.files import FileTooLarge, read_file
from gateway.transport.yaml_bounds import read_events

ENVELOPE = "_envelope"
"""The name of an adapter's schema for every event type without one of its own."""

YAML_SUFFIXES = (".yaml", ".yml")
"""The ends of the names of schema files in YAML; all others are JSON."""

_MAX_FILE_SIZE = 1024**2
"""Bytes of a schema file, so that a wrong path cannot exhaust memory."""

_MAX_DEPTH = 100
"""Levels of a file in YAML. A schema may have fewer, see :mod:`gateway.events.schemas.lint`."""

_SUFFIX = ".json"


class Catalogue:
    """All schemas, by adapter and event type.

    Args:
        folder: A folder with a folder for each adapter, which has a file for each event type.
    """

    def __init__(self, folder: Traversable) -> None:
        self._folder = folder
        self._read: dict[str, AdapterSchemas] = {}

    @classmethod
    def bundled(cls) -> Catalogue:
        """Return the catalogue of the schemas in the package."""
        return cls(bundled("schemas"))

    def adapters(self) -> list[str]:
        """Return the adapters that have schemas, sorted."""
        return sorted(entry.name for entry in self._folder.iterdir() if _files(entry))

    def event_types(self, adapter: str) -> list[str]:
        """Return the event types that have a schema, sorted; :data:`ENVELOPE` is one of them."""
        names = (file.name.removesuffix(_SUFFIX) for file in _files(self._folder / adapter))
        return sorted(name for name in names if name == ENVELOPE or not _is_part(name))

    def name_for(self, adapter: str, event_type: str) -> str | None:
        """Return the event type whose schema :meth:`find` returns for ``event_type``."""
        names = {name: name for name in self.event_types(adapter)}
        return most_specific(names, event_type) or names.get(ENVELOPE)

    def document(self, adapter: str, event_type: str) -> dict[str, Any]:
        """Return the schema document of exactly this event type.

        Raises:
            KeyError: The event type has no schema of its own.
        """
        return self.of_adapter(adapter).documents[event_type]

    def of_adapter(self, adapter: str) -> AdapterSchemas:
        """Return the schemas of one adapter, and read them first if needed."""
        if adapter not in self._read:
            self._read[adapter] = AdapterSchemas(
                {
                    file.name.removesuffix(_SUFFIX): orjson.loads(file.read_bytes())
                    for file in _files(self._folder / adapter)
                }
            )
        return self._read[adapter]

    def find(self, adapter: str, event_type: str) -> Schema | None:
        """Return the schema of an event type, of its longest dotted prefix, or the envelope."""
        return self.of_adapter(adapter).find(event_type)


class AdapterSchemas:
    """The schemas against which the events of one provider are validated.

    Args:
        documents: The schema documents by event type. A name that begins with ``_`` is not a type: it is the envelope,
            or a part to which other schemas refer.

    Attributes:
        documents: The same documents.
        by_id: These documents by their ``$id``, by which they refer to each other.
    """

    def __init__(self, documents: Mapping[str, dict[str, Any]]) -> None:
        self.documents = documents
        self._of_types = {name: name for name in documents if not _is_part(name)}
        self.by_id = {document["$id"]: document for document in documents.values()}
        self._compiled: dict[str, Schema] = {}

    def find(self, event_type: str) -> Schema | None:
        """Return the schema of an event type, or of its longest dotted prefix, or else the envelope."""
        return self.get(self.name_for(event_type))

    def name_for(self, event_type: str) -> str:
        """Return the name of the schema that :meth:`find` looks for; there may be none of this name."""
        return most_specific(self._of_types, event_type) or ENVELOPE

    def get(self, name: str) -> Schema | None:
        """Return the schema of exactly this name, and compile it first if needed.

        Raises:
            SchemaError: The schema refers to something outside the adapter's schemas.
        """
        schema = self._compiled.get(name)
        if schema is None and name in self.documents:
            schema = self._compiled[name] = Schema(self.documents[name], self.by_id)
        return schema

    def check(self) -> None:
        """Check all schemas, before an event needs one.

        Raises:
            SchemaError: A schema cannot be used. The error has every problem of every schema.
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
    """Return the schema in the file ``path``, which serves every event of a provider.

    Raises:
        SchemaError: The file cannot be read, or is not a usable schema.
    """
    document = read_document(path)
    document.setdefault("$id", path.resolve().as_uri())
    schemas = AdapterSchemas({ENVELOPE: document})
    schemas.check()
    return schemas


def read_document(path: Path) -> dict[str, Any]:
    """Return the schema document in the file ``path``.

    Raises:
        SchemaError: The file cannot be read, or the schema does not pass the lint.
    """
    try:
        content = read_file(path, _MAX_FILE_SIZE)
    except FileTooLarge:
        raise SchemaError(f"{path}: is larger than 1MiB") from None
    except OSError as error:
        raise SchemaError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        document: dict[str, Any] = parse_document(content, is_yaml=path.suffix in YAML_SUFFIXES)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from error
    check_document(document, str(path))
    return document


def parse_document(content: bytes, *, is_yaml: bool) -> Any:
    """Return what a text in JSON or YAML says, unchecked.

    Raises:
        SchemaError: It is not JSON, or nothing that JSON could say.
    """
    if not is_yaml:
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise SchemaError(f"is not JSON: {error}") from error
    try:
        _expect_plain(content)
        return orjson.loads(orjson.dumps(yaml.safe_load(content)))  # a date becomes a string
    except yaml.YAMLError as error:
        raise SchemaError(f"is not YAML: {' '.join(str(error).split())}") from error
    except SchemaError:
        raise
    except (TypeError, ValueError) as error:
        raise SchemaError(f"is no JSON written as YAML: {error}") from error


def _expect_plain(content: bytes) -> None:
    """Refuse YAML that a short text makes costly.

    Raises:
        SchemaError: It has aliases, or is nested too deeply.
    """
    for reading in read_events(content):
        if reading.aliases:
            raise SchemaError("has YAML aliases, through which a short text can be a huge one")
        if reading.depth > _MAX_DEPTH:
            raise SchemaError(f"is nested in more than {_MAX_DEPTH} levels")


def _files(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    return [file for file in folder.iterdir() if file.name.endswith(_SUFFIX)]


def _is_part(name: str) -> bool:
    return name.startswith("_")
