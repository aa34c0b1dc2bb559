"""Contentful: HMAC-SHA256 over method, path, the headers that the sender lists, and the body.

Source: https://www.contentful.com/developers/docs/webhooks/request-verification/
Covered: these, the list itself and the moment of sending. Not covered: the host, and the headers outside the
list. The query is signed in the sender's own escaping, twice over; one with a second question mark is refused,
since what comes after it would not be signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS
from gateway.signatures.schemes.custom_hmac import (
    Content,
    SignedField,
    TimedScheme,
    TimedSpec,
    with_headers,
    write_hmac,
)
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.strict_fields import single, split_elements
from gateway.signatures.schemes.timestamps import Timestamp, TimestampSpec
from gateway.signatures.secrets import decode_secret

_SIGNATURE = "x-contentful-signature"
_SIGNED_HEADERS = "x-contentful-signed-headers"
_TIMESTAMP = "x-contentful-timestamp"
_MOMENT = Timestamp(TimestampSpec(header=_TIMESTAMP, unit="ms"))
_LONGEST_QUERY = 1024  # it is escaped twice, byte by byte
_SAFE_IN_COMPONENT = "!*'()"
_SAFE_IN_ADDRESS = "!*'();,/?:@&=+$#"


class ContentfulSpec(TimedSpec):
    """How Contentful signs."""

    scheme: Literal["contentful"] = Field(description="The family of the scheme.")

    @override
    def scheme_for(self, layout: Layout) -> ContentfulScheme:
        return ContentfulScheme(self, _read)

    @override
    def describe(self) -> str:
        return f"HMAC-sha256 of method, path, listed headers and body, hex in {_SIGNATURE}"


class ContentfulScheme(TimedScheme):
    """The scheme of a :class:`ContentfulSpec`."""

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        own = {name.decode() for name, _ in request.headers.fields if name.startswith(b"x-contentful-")}
        names = sorted({*own - {_SIGNATURE}, _SIGNED_HEADERS, _TIMESTAMP})
        headers = {_SIGNED_HEADERS: ",".join(names), _TIMESTAMP: _MOMENT.write(now)}
        message = _message(with_headers(request, headers))
        headers[_SIGNATURE] = write_hmac(decode_secret(secret, "raw"), message, "sha256", "hex").decode()
        return Signed(headers, request.body, request.query)


def _read(request: RawRequest) -> SignedField:
    signature = single(request.headers, _SIGNATURE.encode(), "signature_missing")
    moment = _MOMENT.read(single(request.headers, _TIMESTAMP.encode(), "timestamp_missing"))
    return SignedField([signature], lambda: Content([_message(request)]), moment=moment)


def _message(request: RawRequest) -> bytes:
    listed = single(request.headers, _SIGNED_HEADERS.encode(), "signed_header_missing")
    names = sorted({name.strip().lower() for name in split_elements(listed, b",", "signature_malformed")})
    if not {_SIGNED_HEADERS.encode(), _TIMESTAMP.encode()} <= set(names):
        raise SignatureRejected("signature_malformed")
    headers = [
        b"%b:%b" % (name, single(request.headers, name, "signed_header_missing").strip()) for name in names
    ]
    return b"\n".join([request.method.encode(), _path(request), b";".join(headers), request.body])


def _path(request: RawRequest) -> bytes:
    if b"?" in request.query or len(request.query) > _LONGEST_QUERY:
        raise SignatureRejected("signature_malformed")
    path = request.path.encode("latin-1")
    if request.query:
        path += b"?" + quote(request.query, safe=_SAFE_IN_COMPONENT).encode()
    return quote(path, safe=_SAFE_IN_ADDRESS).encode()
