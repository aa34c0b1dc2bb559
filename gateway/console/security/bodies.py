"""Bodies of requests, bounded in size and time, and read once for everybody who asks for them."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from gateway.console.problems import Problem

MAX_BODY = 1024**2
"""Bytes of a body. The largest is a form with some thousand selected ids."""

_TIMEOUT = 10.0
"""Seconds within which a body must be complete."""

_MAX_FIELDS = 5000
"""Fields of a form."""

_FORM = "application/x-www-form-urlencoded"


async def buffer_body(scope: Scope, receive: Receive, limit: int = MAX_BODY) -> Receive:
    """Read the whole body into the state of the request; return a `receive` that gives it once more.

    Raises:
        Problem: It is too large, or does not arrive in time.
    """
    try:
        async with asyncio.timeout(_TIMEOUT):
            body = await _read(scope, receive, limit)
    except TimeoutError:
        raise Problem(
            "request_timeout", "the body did not arrive within 10 s", {"connection": "close"}
        ) from None
    scope.setdefault("state", {})["body"] = body
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes:
    too_large = Problem("body_too_large", f"at most {limit:,} bytes are read", {"connection": "close"})
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) < 20 and int(value) > limit:
            raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem("malformed_request", "the body is not complete")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body"):
            return bytes(body)


def body_of(request: Request) -> bytes:
    """Return the body of a request; empty if it has none."""
    body: bytes = request.scope.get("state", {}).get("body", b"")
    return body


def form_of(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form by name, each with all its values, in their order.

    Raises:
        Problem: The body is not a form, or has too many fields.
    """
    return parse_form(request.headers.get("content-type", ""), body_of(request))


def parse_form(content_type: str, body: bytes) -> dict[str, list[str]]:
    """Parse a body as a form; see :func:`form_of`.

    Raises:
        Problem: It is none, or has too many fields.
    """
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() != _FORM:
        raise Problem("unsupported_media_type", f"send the form as {_FORM}")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:  # a UnicodeError, too
        raise Problem("malformed_request", f"a form has UTF-8 and at most {_MAX_FIELDS} fields") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields
