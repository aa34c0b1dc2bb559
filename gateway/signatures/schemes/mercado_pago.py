"""Mercado Pago: HMAC-SHA256 over the id of the resource, the id of the request and the moment.

Source: https://www.mercadopago.com.ar/developers/en/docs/your-integrations/notifications/webhooks
Covered: ``data.id`` in the query, the header ``x-request-id`` and the timestamp. Not covered: the body, so that
whoever saw one delivery can send another body under its id until the timestamp is too old.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

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
    read_elements,
    write_hmac,
)
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.signed_forms import only, read_query
from gateway.signatures.schemes.strict_fields import single
from gateway.signatures.schemes.timestamps import Timestamp, TimestampSpec
from gateway.signatures.secrets import decode_secret

_HEADER = "x-signature"
_MOMENT = Timestamp(TimestampSpec(element="ts=", unit="auto"))
_PLAIN = re.compile(rb"[A-Za-z0-9_.-]{1,128}")


class MercadoPagoSpec(TimedSpec):
    """How Mercado Pago signs."""

    scheme: Literal["mercado_pago"] = Field(description="The family of the scheme.")

    @property
    @override
    def is_body_bound(self) -> bool:
        return False

    @override
    def scheme_for(self, layout: Layout) -> MercadoPagoScheme:
        return MercadoPagoScheme(self, _read)

    @override
    def signs_headers(self, names: Sequence[bytes]) -> bool:
        return not names or names[0] == b"x-request-id"

    @override
    def describe(self) -> str:
        return f"HMAC-sha256 of data.id, x-request-id and the timestamp, hex in {_HEADER}"


class MercadoPagoScheme(TimedScheme):
    """The scheme of a :class:`MercadoPagoSpec`."""

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        moment = _MOMENT.write(now)
        message = _manifests(request, moment.encode())[0]
        signature = write_hmac(decode_secret(secret, "raw"), message, "sha256", "hex").decode()
        return Signed({_HEADER: f"ts={moment},v1={signature}"}, request.body, request.query)


def _read(request: RawRequest) -> SignedField:
    value = single(request.headers, _HEADER.encode(), "signature_missing")
    moment, signature = read_elements(value, [b"ts", b"v1"])
    seconds = _MOMENT.read(moment)
    return SignedField([signature], partial(_content, request, moment), moment=seconds)


def _content(request: RawRequest, moment: bytes) -> Content:
    manifests = _manifests(request, moment)
    signed = manifests[0]
    if b"x-request-id" in request.headers:  # else the moment is all that tells one notification from another
        signed = signed.removesuffix(b"ts:%b;" % moment)
    return Content(manifests, signed)


def _manifests(request: RawRequest, moment: bytes) -> list[bytes]:
    """What is signed. A part whose source is absent is left out, so that no other may look like one.

    The id is in lower case according to the documentation, and as it came according to the sender's own library.
    """
    manifest = b"ts:%b;" % moment
    if b"x-request-id" in request.headers:
        request_id = single(request.headers, b"x-request-id", "signed_header_missing")
        manifest = b"request-id:%b;" % _checked(request_id) + manifest
    parameters = read_query(request.query)
    if all(name != b"data.id" for name, _ in parameters):
        return [manifest]
    resource = _checked(only(parameters, b"data.id", "signed_header_missing"))
    return [b"id:%b;" % spelling + manifest for spelling in dict.fromkeys([resource.lower(), resource])]


def _checked(text: bytes) -> bytes:
    if not _PLAIN.fullmatch(text):
        raise SignatureRejected("signature_malformed")
    return text
