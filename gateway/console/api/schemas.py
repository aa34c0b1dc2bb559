"""The JSON Schemas of the API, made from types and their docstrings.

OpenAPI 3.1 has JSON Schema 2020-12, which msgspec writes for structs and dataclasses; the descriptions are those of the
docstrings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from inspect import cleandoc
from typing import Any, get_type_hints

import msgspec

from gateway.console.api.encoding import EntryView
from gateway.console.api.operation import Operation
from gateway.console.problems import ProblemDetails

REFERENCE = "#/components/schemas/{name}"
"""How the document refers to a schema."""


class Schemas:
    """The schemas of all types, each once.

    Attributes:
        components: The schemas by name.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = [
            each
            for operation in operations
            for each in (operation.body, operation.result)
            if each is not None
        ]
        self._types = [*types, EntryView, ProblemDetails]
        references, self.components = msgspec.json.schema_components(self._types, ref_template=REFERENCE)
        self._references = dict(zip(map(_key, self._types), references, strict=True))
        # Where an operation returns entries, the answer has their views; see the encoding.
        if "Entry" in self.components:
            self.components["Entry"] = {"$ref": REFERENCE.format(name="EntryView")}
        for kind in _named(self._types):
            if kind.__name__ in self.components:
                describe(self.components[kind.__name__], kind)

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type of an operation."""
        return self._references[_key(kind)]


def _key(kind: Any) -> str:
    return repr(kind)


def _named(types: Iterable[Any]) -> list[type]:
    """Return all classes that the types are made of."""
    found: dict[type, None] = {}
    waiting = list(types)
    while waiting:
        kind = waiting.pop()
        waiting += getattr(kind, "__args__", ())
        if isinstance(kind, type) and kind not in found and hasattr(kind, "__annotations__"):
            found[kind] = None
            waiting += get_type_hints(kind).values()
    return list(found)


def describe(schema: dict[str, Any], kind: type) -> None:
    """Put the docstring of a class, and of its own and inherited attributes, into its schema."""
    schema.pop("description", None)
    properties = schema.get("properties", {})
    for each in reversed(kind.__mro__):
        text, _, attributes = cleandoc(each.__dict__.get("__doc__") or "").partition("\n\nAttributes:\n")
        if (
            each is kind and text and not text.startswith(f"{kind.__name__}(")
        ):  # as a dataclass without one has
            schema["description"] = _line(text)
        for name, description in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE):
            if name in properties:
                properties[name]["description"] = _line(description)


def _line(text: str) -> str:
    return re.sub(r":\w+:`~?\.?([\w.]+)`", r"`\1`", " ".join(text.split()).replace("``", "`"))
