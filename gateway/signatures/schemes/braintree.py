"""Braintree: HMAC-SHA1 over a field of a form, the signature in another field of it.

Source: https://developer.paypal.com/braintree/docs/guides/webhooks/parse
Covered: ``bt_payload``, an XML document in base64. Not covered: other fields, headers and the moment, which
stands in the document. ``bt_signature`` lists pairs of a public key and a signature; which key a pair names is not
looked at, since only ours can have made a signature that matches. The same key answers challenges when an address
is set up, so what looks like a challenge is never taken for a payload.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal
from urllib.parse import urlencode

from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec
from gateway.signatures.schemes.custom_hmac import ClaimVerifier, Content, SignedField, write_hmac
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.signed_forms import only, read_form
from gateway.signatures.schemes.strict_fields import split_elements
from gateway.signatures.secrets import decode_secret

_ALPHABET = f"{string.ascii_letters}{string.digits}+/=\n".encode()
_CHALLENGE = re.compile(rb"[a-f0-9]{20,32}\n?")


class BraintreeSpec(SchemeSpec):
    """How Braintree signs."""

    scheme: Literal["braintree"] = Field(description="The family of the scheme.")

    @property
    @override
    def signed_places(self) -> Sequence[str]:
        return ("body:/bt_payload",)

    @override
    def scheme_for(self, layout: Layout) -> BraintreeScheme:
        return BraintreeScheme()

    @override
    def describe(self) -> str:
        return "HMAC-sha1 of bt_payload, hex in bt_signature"


class BraintreeScheme(Scheme):
    """The scheme of a :class:`BraintreeSpec`."""

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> ClaimVerifier:
        return ClaimVerifier([decode_secret(secret, "sha1") for secret in secrets], _read, "hex")

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        fields = [pair for pair in read_form(request) if pair[0] != b"bt_signature"]
        payload = only(fields, b"bt_payload", "signature_missing")
        signature = write_hmac(decode_secret(secret, "sha1"), payload, "sha1", "hex")
        public_key = parameters.get("public_key", "public_key").encode()
        fields = [(b"bt_signature", public_key + b"|" + signature), *fields]
        return Signed({}, urlencode(fields).encode(), request.query)


def _read(request: RawRequest) -> SignedField:
    shown = only(read_form(request, b"bt_signature"), b"bt_signature", "signature_missing")
    candidates = [pair.partition(b"|")[2] for pair in split_elements(shown, b"&") if b"|" in pair]
    return SignedField(candidates, partial(_content, request), "sha1")


def _content(request: RawRequest) -> Content:
    payload = only(read_form(request, b"bt_payload"), b"bt_payload", "signature_malformed")
    if payload.translate(None, _ALPHABET) or _CHALLENGE.fullmatch(payload):
        raise SignatureRejected("signature_malformed")
    return Content([payload, payload + b"\n"], payload.rstrip(b"\n"))
