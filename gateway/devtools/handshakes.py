"""Simulated handshakes: requests with which providers verify an endpoint."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from gateway.adapters.adapter import Adapter
from gateway.adapters.handshake import HandshakeSpec
from gateway.devtools.samples import content_type_of
from gateway.errors import OperatorError
from gateway.signatures.extractors import header_name, pointer_steps
from gateway.signatures.forms import write_form
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS

FORM = "application/x-www-form-urlencoded"
"""The media type of a form."""


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """A handshake as its provider sends it.

    Attributes:
        method: The HTTP method.
        query: The query string, without the question mark.
        headers: All headers.
        body: The body.
    """

    method: str
    query: str
    headers: dict[str, str]
    body: bytes


def make_handshake(
    adapter: Adapter,
    spec: HandshakeSpec,
    secret: str | None,
    token: str | None,
    url: str,
    now: float,
    parameters: Mapping[str, str] = NO_PARAMETERS,
) -> HandshakeRequest:
    """Return one handshake of a provider.

    Args:
        adapter: The provider's adapter.
        spec: The handshake, one of the adapter's.
        secret: What the provider signs with; None if there is no secret yet.
        token: The configured ``handshake_token``.
        url: The endpoint's URL.
        now: The time, in Unix seconds.
        parameters: The parameters of the adapter.

    Raises:
        OperatorError: The handshake is signed, and there is no secret.
    """
    headers = {"User-Agent": f"gateway-send ({adapter.name})"}
    query: dict[str, object] = {}
    payload: Any = None
    for place, value in _contents(spec, token).items():
        if place.startswith("header:"):
            headers[place.partition(":")[2]] = str(value)
        elif place.startswith("query:"):
            query[place.partition(":")[2]] = value
        else:
            payload = _put(payload, pointer_steps(place), value)
    body = _write(adapter, spec, payload, headers)
    if not spec.is_signed:
        return HandshakeRequest(spec.method, urlencode(query), headers, body)
    if secret is None:
        raise OperatorError("there is no secret to sign with yet; the provider delivers it in a handshake")
    id_header = header_name(adapter.spec.event_id) if isinstance(adapter.spec.event_id, str) else None
    if id_header:
        headers.setdefault(id_header.decode(), str(uuid.uuid4()))
    request = _raw(spec.method, headers, urlencode(query), body, url)
    signed = adapter.scheme.sign(request, secret, now, parameters)
    return HandshakeRequest(
        spec.method, signed.query.decode("latin-1"), headers | signed.headers, signed.body
    )


def _contents(spec: HandshakeSpec, token: str | None) -> dict[str, object]:
    """Return the values of the handshake by their places."""
    contents: dict[str, object] = {
        place: _challenge(spec) for place, text in spec.when.items() if text == "*"
    }
    contents |= {place: text for place, text in spec.when.items() if text not in ("*", "")}
    if spec.token:
        contents[spec.token] = token or ""
    if spec.challenge:
        contents[spec.challenge] = _challenge(spec)
    if spec.enrol:
        contents[spec.enrol] = secrets.token_hex(32)
    if spec.confirm:
        contents[spec.confirm] = f"https://{spec.confirm_hosts[0].replace('*', 'example')}/"
    return contents


def _challenge(spec: HandshakeSpec) -> str:
    """Return a challenge of the form that the provider uses."""
    candidates = (
        str(uuid.uuid4()),
        secrets.token_hex(16),
        secrets.token_hex(8),
        str(secrets.randbelow(10**9)),
    )
    return next((text for text in candidates if re.fullmatch(spec.pattern, text, re.ASCII)), candidates[0])


def _put(document: Any, steps: list[str], value: object) -> Any:
    """Return the document with a value at a place. Lists have a single member."""
    if not steps:
        return value
    if steps[0] == "0":
        return [_put(document[0] if document else None, steps[1:], value)]
    document = document or {}
    return document | {steps[0]: _put(document.get(steps[0]), steps[1:], value)}


def _write(adapter: Adapter, spec: HandshakeSpec, payload: Any, headers: dict[str, str]) -> bytes:
    """Return the body, and set its ``Content-Type`` in ``headers``."""
    if payload is None and not spec.is_signed:
        return b""
    media_type, body_format = next(iter(adapter.spec.content.items()))
    if not spec.is_signed:
        media_type, body_format = FORM if spec.content == "form" else "application/json", spec.content
    headers["Content-Type"] = content_type = content_type_of(media_type)
    if body_format != "form":
        return orjson.dumps(payload or {})
    field = adapter.spec.form_json if spec.is_signed else None
    fields = {field: orjson.dumps(payload).decode()} if field else payload or {}
    return write_form(fields, content_type.encode())


def _raw(method: str, headers: Mapping[str, str], query: str, body: bytes, url: str) -> RawRequest:
    return RawRequest(
        method=method,
        body=body,
        headers=Headers(
            [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        ),
        path="/" + url.split("/", 3)[-1],
        query=query.encode(),
        url=f"{url}?{query}" if query else url,
    )
