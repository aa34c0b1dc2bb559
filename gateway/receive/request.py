"""The head of a request, and the limits and rules that hold for every one of them."""

from __future__ import annotations

import msgspec

from gateway.errors import HeadersTooLarge, UnknownProvider
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

MAX_FIELDS = 100
"""Header fields of a request; providers send some twenty."""

MAX_TARGET = 8 * 1024
"""Bytes of a request's path and query; no address given to a provider is longer."""

MAX_HEAD = 32 * 1024
"""Bytes of all header fields of a request."""

_VERSIONS = frozenset({"1.0", "1.1"})


class RequestHead(msgspec.Struct, frozen=True):
    """A request before its body.

    Attributes:
        method: as it was sent.
        path: as it was sent, percent-encoding kept, without the query.
        query: what follows the question mark.
        headers: the header fields.
        size: bytes of the names and values of all header fields.
        peer: the address that the connection comes from; empty if it has none.
        version: the version of HTTP.
    """

    method: str
    path: bytes
    query: bytes
    headers: Headers
    size: int
    peer: str
    version: str = "1.1"


def check_head(head: RequestHead) -> None:
    """Check what holds for every request and no parser checks.

    Raises:
        MalformedRequest: two readers could understand the request differently.
        UnknownProvider: the target is longer than any address here.
        HeadersTooLarge: there are more header fields than any provider sends.
    """
    headers, version = head.headers, head.version
    if len(head.path) + len(head.query) > MAX_TARGET:
        raise UnknownProvider
    if head.size > MAX_HEAD or len(headers.fields) > MAX_FIELDS:
        raise HeadersTooLarge
    if version not in _VERSIONS:
        raise MalformedRequest(f"HTTP/{version}")
    if headers.get(b"host") is None and version == "1.1":
        raise MalformedRequest("no host")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise MalformedRequest("a transfer coding other than chunked")
