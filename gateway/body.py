"""Reading a request's body, bounded in size and time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from starlette.types import Receive

from gateway.errors import BodyTooLarge, RequestTimeout
from providers import Headers


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
