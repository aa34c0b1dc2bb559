"""The OpenAPI 3.1 document, made from the table of operations and the types of their parameters, bodies and answers.

Types and their docstrings are the only source: OpenAPI 3.1 has JSON Schema 2020-12, which msgspec writes for structs and
dataclasses. FastAPI would do the same, from pydantic models that would have to repeat each dataclass of the operations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any, get_type_hints

import msgspec

from gateway import __version__
from gateway.console.api.encoding import EntryView
from gateway.console.api.idempotency import HEADER
from gateway.console.api.operation import Operation
from gateway.console.api.paths import PREFIX
from gateway.console.problems import MEDIA_TYPE, REASONS, ProblemDetails

_REF = "#/components/schemas/{name}"

COMMON_PROBLEMS = (
    "malformed_request",
    "not_authenticated",
    "forbidden",
    "cross_site",
    "host_not_allowed",
    "rate_limited",
    "internal",
    "storage_unavailable",
)
"""Reasons that every operation may answer."""

_INFO = """What the web pages of the console and the commands can do, for programs.

Moments are Unix seconds. A list has `next`, the cursor of its next page; a cursor is opaque. A write may have an
`Idempotency-Key`: repeated within a day, it is done once. Every error is `application/problem+json` (RFC 9457); decide by
its `reason`."""


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document."""
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation(
            operation, schemas
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Webhook gateway", "version": __version__, "description": _INFO},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the console; see `gateway console tokens`.",
                }
            },
            "schemas": schemas.components,
        },
    }


def operation_id(operation: Operation) -> str:
    """Return the name of an operation for generated clients, such as `post_dead_letters_redrive`."""
    words = [word for segment in operation.segments for word in re.findall(r"[A-Za-z0-9]+", segment)]
    return "_".join([operation.method.lower(), *words])


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    path = [
        {"name": segment[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for segment in operation.segments
        if segment.startswith("{")
    ]
    described: dict[str, Any] = {
        "operationId": operation_id(operation),
        "tags": [operation.segments[0]],
        "summary": operation.summary,
        "description": f"Needs the role `{operation.role}`.",
        "parameters": [*path, *_query(operation)],
        "responses": {str(operation.status): _success(operation, schemas), **_problems(operation)},
    }
    if operation.is_write:
        described["parameters"].append(
            {
                "name": HEADER.title(),
                "in": "header",
                "description": "A key of your choice: a repetition with it is not done again, for a day.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    if operation.body:
        described["requestBody"] = {"required": True, "content": _json(schemas.of(operation.body))}
    return described


def _query(operation: Operation) -> list[dict[str, Any]]:
    (schema,), components = msgspec.json.schema_components([operation.parameters], ref_template=_REF)
    found = components[schema["$ref"].rpartition("/")[2]]
    _describe(found, operation.parameters)
    required = found.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            **({"required": True} if name in required else {}),
            **({"description": each.pop("description")} if "description" in each else {}),
            "schema": each,
        }
        for name, each in found["properties"].items()
    ]


def _success(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    if operation.status == 204:
        return {"description": "It is done."}
    if operation.result is None:
        return {
            "description": "Server-Sent Events.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    return {
        "description": "It is done." if operation.is_write else "The answer.",
        "content": _json(schemas.of(operation.result)),
    }


def _problems(operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    own = ["invalid_body", "malformed_json", "unsupported_media_type"] if operation.body else []
    if operation.is_write:
        own += ["idempotency_key_reused", "conflict", "body_too_large", "request_timeout"]
    for reason in dict.fromkeys((*COMMON_PROBLEMS, *own, *operation.problems)):
        by_status.setdefault(REASONS[reason][0], []).append(reason)
    return {
        str(status): {
            "description": ", ".join(f"`{reason}`" for reason in reasons),
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="ProblemDetails")}}},
        }
        for status, reasons in sorted(by_status.items())
    }


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


class _Schemas:
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
        references, self.components = msgspec.json.schema_components(self._types, ref_template=_REF)
        self._references = dict(zip(map(_key, self._types), references, strict=True))
        # Where an operation returns entries, the answer has their views; see the encoding.
        if "Entry" in self.components:
            self.components["Entry"] = {"$ref": _REF.format(name="EntryView")}
        for kind in _named(self._types):
            if kind.__name__ in self.components:
                _describe(self.components[kind.__name__], kind)

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


def _describe(schema: dict[str, Any], kind: type) -> None:
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
