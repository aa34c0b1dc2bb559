"""A captured request: raw HTTP, or a JSON object that describes it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from gateway.errors import OperatorError
from gateway.signatures.request import Headers

MAX_FIELDS = 200
"""Headers of a capture. The gateway itself accepts fewer."""

MAX_HEAD = 64 * 1024
"""Bytes of the request line and headers. The gateway itself accepts fewer."""

_REQUEST_LINE = re.compile(rb"([A-Za-z]{1,20}) (\S{1,8192})(?: HTTP/[0-9.]{1,3})?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,7})[^\r\n]{0,256}\r\n")


@dataclass(frozen=True, slots=True)
class Capture:
    """One request as it was captured.

    Attributes:
        method: The method, in upper case.
        url: The target: a URL, or a path with its query.
        headers: The headers.
        body: The body.
    """

    method: str
    url: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        """Return the path as sent."""
        return urlsplit(self.url).path or "/"

    @property
    def query(self) -> bytes:
        """Return the query string as sent, without the question mark."""
        return urlsplit(self.url).query.encode("latin-1", "replace")


def read_capture(content: bytes, max_body: int) -> Capture:
    """Parse a capture.

    Raises:
        OperatorError: The capture is not a request, or its body is larger than ``max_body``.
    """
    try:
        capture = _from_json(content) if content.lstrip()[:1] == b"{" else _from_http(content)
        urlsplit(capture.url)
    except ValueError as error:
        raise OperatorError(
            f"this is not a captured request: {error}. Pass raw HTTP, or JSON with method, url, headers and body or "
            "body_base64"
        ) from error
    if len(capture.body) > max_body:
        raise OperatorError(
            f"the body has {len(capture.body)} bytes, more than max_body ({max_body}); the gateway responds with 413"
        )
    return capture


def _from_http(content: bytes) -> Capture:
    head, separator, body = content.partition(b"\r\n\r\n")
    if not separator or len(head) > MAX_HEAD:
        head, separator, body = content.partition(b"\n\n")  # as saved by a text editor
    lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
    request = _REQUEST_LINE.fullmatch(lines[0])
    if len(head) > MAX_HEAD or request is None:
        raise ValueError("it does not begin with a request line, such as POST /webhooks/acme HTTP/1.1")
    fields = []
    for number, line in enumerate(filter(None, lines[1:]), start=2):
        name, separator, value = line.partition(b":")
        if not separator:
            raise ValueError(f"line {number} is not a header")
        fields.append((name, value))
    headers = _headers(fields)
    if b"chunked" in headers.all(b"transfer-encoding"):
        body = _unchunked(body)
    return Capture(request[1].decode().upper(), request[2].decode("latin-1"), headers, body)


def _unchunked(body: bytes) -> bytes:
    """Decode a chunked body. A body that was captured decoded is returned unchanged."""
    content: list[bytes] = []
    position = 0
    while chunk := _CHUNK.match(body, position):
        size = int(chunk[1], 16)
        if size == 0:
            return b"".join(content)
        content.append(body[chunk.end() : chunk.end() + size])
        position = chunk.end() + size + 2
    return body


def _from_json(content: bytes) -> Capture:
    document = orjson.loads(content)
    method, url = _text(document.get("method", "POST")), _text(document.get("url", "/"))
    headers = _headers(
        [
            (_text(name).encode("latin-1"), _text(value).encode("latin-1"))
            for name, value in _json_fields(document.get("headers", {}))
        ]
    )
    return Capture(method.upper(), url, headers, _json_body(document))


def _json_fields(headers: Any) -> Iterator[tuple[Any, Any]]:
    """Yield headers from an object, whose values may be lists, or from a list of pairs or of name/value objects."""
    if isinstance(headers, dict):
        for name, value in headers.items():
            yield from ((name, each) for each in (value if isinstance(value, list) else [value]))
        return
    for each in headers if isinstance(headers, list) else [None]:
        match each:
            case [name, value] | {"name": name, "value": value}:
                yield name, value
            case _:
                raise ValueError("headers is neither an object nor a list of names and values")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("method, url, and the names and values of headers must be strings")  # noqa: TRY004
    return value


def _json_body(document: dict[str, Any]) -> bytes:
    encoded = document.get("body_base64")
    if encoded is not None:
        try:
            return base64.b64decode(encoded, validate=True)
        except (TypeError, binascii.Error):
            raise ValueError("body_base64 is not base64") from None
    body = document.get("body", "")
    # A body that was captured as parsed JSON has lost its bytes; the hypotheses try the usual serializations.
    try:
        return body.encode() if isinstance(body, str) else json.dumps(body).encode()
    except RecursionError:
        raise ValueError("body is nested too deeply") from None


def _headers(fields: list[tuple[bytes, bytes]]) -> Headers:
    if len(fields) > MAX_FIELDS:
        raise ValueError(f"it has more than {MAX_FIELDS} headers")
    if not all(_NAME.fullmatch(name) for name, _ in fields):
        raise ValueError("the name of a header contains invalid characters")
    return Headers([(name.lower(), value.strip(b" \t")) for name, value in fields])
