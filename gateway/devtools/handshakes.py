"""Handshakes as their senders make them, to try the gateway with."""

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
from gateway.devtools.samples import stated
from gateway.errors import OperatorError
from gateway.signatures.extractors import header_name, pointer_steps
from gateway.signatures.forms import write_form
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class HandshakeRequest:
    """A handshake as its sender makes it.

    Attributes:
        method: the HTTP method.
        query: what stands behind the question mark.
        headers: all header fields.
        body: the bytes of the body.
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
    """One handshake of a sender.

    Args:
        adapter: of the sender.
        spec: which of its handshakes.
        secret: what it signs with.
        token: the ``handshake_token`` that it was told.
        url: where it greets.
        now: Unix seconds.
        parameters: what the adapter is told besides the secrets.

    Raises:
        OperatorError: it is signed, and there is no secret.
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
        raise OperatorError("there is no secret to sign with yet; the sender tells it in a handshake")
    id_header = header_name(adapter.spec.event_id) if isinstance(adapter.spec.event_id, str) else None
    if id_header:
        headers.setdefault(id_header.decode(), str(uuid.uuid4()))
    request = _raw(spec.method, headers, urlencode(query), body, url)
    signed = adapter.scheme.sign(request, secret, now, parameters)
    return HandshakeRequest(
        spec.method, signed.query.decode("latin-1"), headers | signed.headers, signed.body
    )


def _contents(spec: HandshakeSpec, token: str | None) -> dict[str, object]:
    """What stands where."""
    contents: dict[str, object] = {place: _made(spec) for place, text in spec.when.items() if text == "*"}
    contents |= {place: text for place, text in spec.when.items() if text not in ("*", "")}
    if spec.token:
        contents[spec.token] = token or ""
    if spec.challenge:
        contents[spec.challenge] = _made(spec)
    if spec.enrol:
        contents[spec.enrol] = secrets.token_hex(32)
    if spec.confirm:
        contents[spec.confirm] = f"https://{spec.confirm_hosts[0].replace('*', 'example')}/"
    return contents


def _made(spec: HandshakeSpec) -> str:
    """A challenge of the kind that the sender makes."""
    made = (str(uuid.uuid4()), secrets.token_hex(16), secrets.token_hex(8), str(secrets.randbelow(10**9)))
    return next((text for text in made if re.fullmatch(spec.pattern, text, re.ASCII)), made[0])


def _put(document: Any, steps: list[str], value: object) -> Any:
    """The document with a value at a place; lists have one member."""
    if not steps:
        return value
    if steps[0] == "0":
        return [_put(document[0] if document else None, steps[1:], value)]
    document = document or {}
    return document | {steps[0]: _put(document.get(steps[0]), steps[1:], value)}


def _write(adapter: Adapter, spec: HandshakeSpec, payload: Any, headers: dict[str, str]) -> bytes:
    """The body, whose media type goes into ``headers``."""
    if payload is None and not spec.is_signed:
        return b""
    media_type, reading = next(iter(adapter.spec.content.items()))
    if not spec.is_signed:
        media_type, reading = FORM if spec.content == "form" else "application/json", spec.content
    headers["Content-Type"] = content_type = stated(media_type)
    if reading != "form":
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
