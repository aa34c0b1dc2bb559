"""Compare answers of the API with its OpenAPI document: the status, the reason of a problem, and the form of the body."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema

from gateway.console.api.openapi import openapi_document
from gateway.console.api.paths import PREFIX
from gateway.console.api.table import OPERATIONS
from gateway.console.problems import MEDIA_TYPE

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi_document(OPERATIONS)))
"""The document."""

_OF_ANY_PATH = {"method_not_allowed", "request_timeout", "body_too_large", "malformed_request", "overloaded"}
"""Reasons of problems that come before it is known which operation is meant."""


def check_answer(response: Any) -> None:
    """Fail if an answer of the API is not one that the document has. Answers of pages are left alone."""
    request = response.request
    path = request.url.raw_path.decode().partition("?")[0]
    if not path.startswith(f"{PREFIX}/"):
        return
    template = _template_of(path.removeprefix(PREFIX))
    methods = DOCUMENT["paths"].get(f"{PREFIX}{template}", {})
    operation = methods.get({"HEAD": "get"}.get(request.method, request.method.lower()))
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if response.status_code >= 400 or media_type == MEDIA_TYPE:
        _check_problem(response, operation)
        return
    if operation is None or request.method == "HEAD":
        return
    named = f"{request.method} {template}"
    documented = operation["responses"].get(str(response.status_code))
    assert documented, f"{named}: {response.status_code} is not documented"
    content = documented.get("content", {})
    if not content:
        response.read()
        assert response.content == b"", f"{named}: a body that is not documented"
        return
    assert media_type in content, f"{named}: {media_type} is not documented"
    if media_type == "application/json":
        response.read()
        _validator(json.dumps(content[media_type]["schema"])).validate(response.json())


def _check_problem(response: Any, operation: dict[str, Any] | None) -> None:
    response.read()
    if response.request.method == "HEAD":
        return
    assert response.headers["content-type"] == MEDIA_TYPE
    problem = response.json()
    _validator('{"$ref": "#/components/schemas/ProblemDetails"}').validate(problem)
    assert problem["status"] == response.status_code
    is_hidden = problem.get("detail") == f"{PREFIX}/openapi.json lists all paths"  # as from a tenant
    if operation is None or is_hidden or problem["reason"] in _OF_ANY_PATH:
        return
    documented = operation["responses"].get(str(response.status_code), {}).get("description", "")
    named = f"{response.request.method} {response.request.url.path}"
    assert f"`{problem['reason']}`" in documented, f"{named}: {problem['reason']} is not documented"


@cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**json.loads(schema), "components": DOCUMENT["components"]})


def _template_of(path: str) -> str:
    """Return the path of the document that a path is one of; exact segments go first. Empty if there is none."""
    found = [
        each.removeprefix(PREFIX)
        for each in DOCUMENT["paths"]
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(each.removeprefix(PREFIX))), path)
    ]
    return min(found, key=lambda each: each.count("{"), default="")
