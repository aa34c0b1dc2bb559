"""The OpenAPI 3.1 document, made from the table of operations and the types of their parameters, bodies and answers.

Types and their docstrings are the only source: OpenAPI 3.1 has JSON Schema 2020-12, which msgspec writes for structs and
dataclasses. FastAPI would do the same, from pydantic models that would have to repeat each dataclass of the operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway import __version__
from gateway.console.api.idempotency import HEADER
from gateway.console.api.operation import LINES, Operation
from gateway.console.api.paths import PREFIX
from gateway.console.api.schemas import REFERENCE, Schemas, alternatives, describe
from gateway.console.problems import MEDIA_TYPE, REASONS

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


_OR_TENANT = ", or the token of a tenant, which sees what is the tenant's"


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document."""
    schemas = Schemas(operations)
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


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    path = [
        {"name": segment[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for segment in operation.segments
        if segment.startswith("{")
    ]
    described: dict[str, Any] = {
        "operationId": operation_id(operation),
        "tags": [operation.segments[0]],
        "summary": operation.summary,
        "description": f"Needs the role `{operation.role}`{_OR_TENANT if operation.is_for_tenants else ''}.",
        "parameters": [*path, *_query(operation)],
        "responses": {
            str(operation.status): _success(operation, schemas),
            **{
                str(status): {"description": "The answer.", "content": _json(schemas.of(kind))}
                for status, kind in operation.others
            },
            **_problems(operation),
        },
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
        body = {"type": ["object", "array"]} if operation.body is msgspec.Raw else schemas.of(operation.body)
        content = {media_type: {"schema": body} for media_type in operation.media_types}
        described["requestBody"] = {"required": not operation.is_body_optional, "content": content}
    return described


def _query(operation: Operation) -> list[dict[str, Any]]:
    (schema,), components = msgspec.json.schema_components([operation.parameters], ref_template=REFERENCE)
    found = components[schema["$ref"].rpartition("/")[2]]
    describe(found, operation.parameters)
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


def _success(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    if operation.status == 204:
        return {"description": "It is done."}
    if operation.result is None:
        return {
            "description": "Server-Sent Events.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    found = [schemas.of(kind) for kind in alternatives(operation.result)]
    content = _json(found[0] if len(found) == 1 else {"oneOf": found})
    if operation.lines:
        content[LINES] = {"schema": {"type": "string", "description": "One object of `data` a line."}}
    return {"description": "It is done." if operation.is_write else "The answer.", "content": content}


def _problems(operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    own = ["invalid_body", "malformed_json", "unsupported_media_type"] if operation.body else []
    if operation.is_write:
        own += [] if operation.keeps_answer else ["secret_already_shown"]
        own += ["idempotency_key_reused", "conflict", "body_too_large", "request_timeout"]
    for reason in dict.fromkeys((*COMMON_PROBLEMS, *own, *operation.problems)):
        by_status.setdefault(REASONS[reason][0], []).append(reason)
    return {
        str(status): {
            "description": ", ".join(f"`{reason}`" for reason in reasons),
            "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(name="ProblemDetails")}}},
        }
        for status, reasons in sorted(by_status.items())
    }


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
