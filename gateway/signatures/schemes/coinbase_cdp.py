"""Coinbase Developer Platform: HMAC-SHA256 over the moment, the headers that the sender lists, and the body.

Source: https://docs.cdp.coinbase.com/webhooks/verify-signatures
Covered: these (the ``v1`` signature), the list among them. Not covered: the headers outside the list, and where
the value of one of them ends and that of the next begins. The ``v0`` signature, of the moment and the body
alone, is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from gateway.signatures.schemes.strict_fields import single, split_elements
from gateway.signatures.schemes.timestamps import Timestamp, TimestampSpec
from gateway.signatures.secrets import decode_secret

_HEADER = "X-Hook0-Signature"
_MOMENT = Timestamp(TimestampSpec(element="t="))


class CoinbaseCdpSpec(TimedSpec):
    """How the Coinbase Developer Platform signs."""

    scheme: Literal["coinbase_cdp"] = Field(description="The family of the scheme.")

    @override
    def scheme_for(self, layout: Layout) -> CoinbaseCdpScheme:
        return CoinbaseCdpScheme(self, _read)

    @override
    def describe(self) -> str:
        return f"HMAC-sha256 of the timestamp, listed headers and body, hex in {_HEADER}"


class CoinbaseCdpScheme(TimedScheme):
    """The scheme of a :class:`CoinbaseCdpSpec`."""

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        moment, listed = _MOMENT.write(now), "content-type"
        message = _message(request, moment.encode(), listed.encode())
        signature = write_hmac(decode_secret(secret, "raw"), message, "sha256", "hex").decode()
        return Signed({_HEADER: f"t={moment},h={listed},v1={signature}"}, request.body, request.query)


def _read(request: RawRequest) -> SignedField:
    value = single(request.headers, _HEADER.lower().encode(), "signature_missing")
    moment, listed, signature = read_elements(value, [b"t", b"h", b"v1"])
    seconds = _MOMENT.read(moment)
    return SignedField([signature], lambda: Content([_message(request, moment, listed)]), moment=seconds)


def _message(request: RawRequest, moment: bytes, listed: bytes) -> bytes:
    names = split_elements(listed.lower(), b" ", "signature_malformed")
    if any(map(request.headers.is_repeated, names)):
        raise SignatureRejected("signature_ambiguous")
    values = b".".join([request.headers.get(name) or b"" for name in names])
    return b".".join([moment, listed, values, request.body])
