"""Reading a request's body, bounded in size and time, and parsing it once its sender is proven."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import orjson
from starlette.types import Receive

from gateway.errors import BodyTooLarge, MalformedJson, RequestTimeout, UnsupportedMediaType
from providers import Headers, MalformedRequest

MAX_DEPTH = 32
"""Levels of nesting. Real events have under fifteen; validators and consumers recurse."""

_JSON_TYPES = frozenset({b"application/json", b"application/cloudevents+json"})
_PLAIN_JSON = frozenset({*_JSON_TYPES, b"application/json; charset=utf-8"})
"""What nearly all senders say; those that say nothing are left to the parser."""


class ClientDisconnected(Exception):
    """The sender left before its body was complete."""


async def read_body(
    headers: Headers, receive: Receive, limit: int, deadline: AbstractContextManager[None]
) -> bytes:
    """The body, of at most ``limit`` bytes; ``deadline`` raises TimeoutError when it takes too long.

    Raises:
        BodyTooLarge: it is larger, or declared to be.
        RequestTimeout: it did not arrive in time.
        ClientDisconnected: it did not arrive at all.
    """
    declared = headers.get(b"content-length")
    if declared is not None and int(declared) > limit:
        raise BodyTooLarge
    try:
        with deadline:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                return bounded(message.get("body", b""), limit)
            return await _read_rest(message, receive, limit)
    except TimeoutError as error:
        raise RequestTimeout from error


async def _read_rest(message: Any, receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        if message["type"] != "http.request":
            raise ClientDisconnected
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


def bounded(body: bytes, limit: int) -> bytes:
    """A body that is there already.

    Raises:
        BodyTooLarge: it is larger than ``limit`` bytes.
    """
    if len(body) > limit:
        raise BodyTooLarge
    return body


def check_media_type(headers: Headers) -> None:
    """Refuse what is not JSON in UTF-8 as it stands.

    Raises:
        UnsupportedMediaType: another type or charset, or a compressed body, which is never inflated.
        MalformedRequest: the header stands there twice.
    """
    if b"content-encoding" in headers and headers.get(b"content-encoding") != b"identity":
        raise UnsupportedMediaType
    content_type = headers.get(b"content-type")
    if content_type is None or content_type in _PLAIN_JSON:
        return
    media_type, _, parameters = content_type.lower().partition(b";")
    if media_type.strip() not in _JSON_TYPES:
        raise UnsupportedMediaType
    for parameter in parameters.replace(b'"', b"").split(b";"):
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value not in {b"utf-8", b"utf8"}:
            raise UnsupportedMediaType


def parse_json(body: bytes) -> Any:
    """The value of a body, by RFC 8259 to the letter.

    Duplicate names are accepted, since real senders have them, and the last one counts; NaN, numbers beyond a
    double, invalid UTF-8, lone surrogates, a byte order mark and anything after the value are not.

    Raises:
        MalformedJson: it is not JSON, or nested deeper than 32 levels.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(error.msg) from error
    # Counting brackets is an upper bound that costs next to nothing; only what exceeds it is walked.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(payload, MAX_DEPTH):
        raise MalformedJson("nested too deeply")
    return payload


def _is_deeper(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = (
            [
                inner
                for container in layer
                for inner in (container.values() if type(container) is dict else container)  # type: ignore[attr-defined]
                if type(inner) is dict or type(inner) is list
            ]
            if not (len(layer) == 1 and type(layer[0]) not in (dict, list))
            else []
        )
        if not layer:
            return False
    return True


def traceparent_of(headers: Headers) -> str | None:
    """The W3C trace context of the request, when it is well-formed; a repeated or odd one is left out."""
    try:
        value = headers.get(b"traceparent")
    except MalformedRequest:
        return None
    if value is None or len(value) != _TRACEPARENT_LENGTH or value.count(b"-") != 3:
        return None
    text = value.decode("latin-1")
    return text if set(text) <= _TRACEPARENT_ALPHABET else None


_TRACEPARENT_LENGTH = 55
_TRACEPARENT_ALPHABET = frozenset("0123456789abcdef-")
