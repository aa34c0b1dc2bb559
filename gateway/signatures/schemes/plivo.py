"""Plivo: HMAC-SHA256 over the address, what was sent to it and a nonce.

Source: https://www.plivo.com/docs/voice/concepts/signature-validation
Version 3 covers the address, its parameters and the fields of a form, each sorted by name; version 2 the
address without its query and nothing that was sent to it. Neither covers the moment or other headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec
from gateway.signatures.schemes.custom_hmac import (
    ClaimVerifier,
    Content,
    SignedField,
    with_headers,
    write_hmac,
)
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.signed_forms import MAX_SIGNED_FORM, read_form, read_query
from gateway.signatures.schemes.strict_fields import single, split_elements
from gateway.signatures.secrets import decode_secret


class PlivoSpec(SchemeSpec):
    """How Plivo signs."""

    scheme: Literal["plivo"] = Field(description="The family of the scheme.")
    version: Literal["v2", "v3"] = Field("v3", description="The version of its signature.")

    @property
    @override
    def needs_url(self) -> bool:
        return True

    @property
    @override
    def is_body_bound(self) -> bool:
        return self.version == "v3"

    @property
    def header(self) -> str:
        """The header that carries the signature; that of the nonce begins with it."""
        return f"X-Plivo-Signature-{self.version.upper()}"

    @override
    def signs_headers(self, names: Sequence[bytes]) -> bool:
        return not names or names[0] == f"{self.header}-nonce".lower().encode()

    @override
    def scheme_for(self, layout: Layout) -> PlivoScheme:
        return PlivoScheme(self)

    @override
    def describe(self) -> str:
        return f"HMAC-sha256 of the address, the form and a nonce ({self.version}), base64 in {self.header}"


class PlivoScheme(Scheme):
    """The scheme of a :class:`PlivoSpec`."""

    def __init__(self, spec: PlivoSpec) -> None:
        self.spec = spec
        self._signature = spec.header.lower().encode()
        self._nonce = f"{spec.header}-nonce".lower().encode()

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> ClaimVerifier:
        return ClaimVerifier([decode_secret(secret, "raw") for secret in secrets], self._read, "base64")

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        nonce = request.headers.get(self._nonce) or b"%d" % (now * 1_000_000)
        headers = {f"{self.spec.header}-Nonce": nonce.decode("latin-1")}
        message = self._message(with_headers(request, headers))
        headers[self.spec.header] = write_hmac(
            decode_secret(secret, "raw"), message, "sha256", "base64"
        ).decode()
        return Signed(headers, request.body, request.query)

    def _read(self, request: RawRequest) -> SignedField:
        signatures = single(request.headers, self._signature, "signature_missing")
        candidates = [signature.strip() for signature in split_elements(signatures, b",")]
        return SignedField(candidates, partial(self._compose, request))

    def _compose(self, request: RawRequest) -> Content:
        nonce = self._read_nonce(request)
        content = self._content(request)
        # In version 2 the nonce is all that tells one callback from another.
        return Content([content + nonce], content if self.spec.is_body_bound else content + nonce)

    def _message(self, request: RawRequest) -> bytes:
        return self._content(request) + self._read_nonce(request)

    def _read_nonce(self, request: RawRequest) -> bytes:
        """Read the nonce; it has no dots, or the end of what is signed could be taken for a part of it."""
        nonce = single(request.headers, self._nonce, "signed_header_missing")
        if b"." in nonce:
            raise SignatureRejected("signature_malformed")
        return nonce

    def _content(self, request: RawRequest) -> bytes:
        """All that is signed but the nonce, which follows."""
        address, _, query = request.url.encode("latin-1").partition(b"?")
        if self.spec.version == "v2":
            return address
        parameters = b"&".join([name + b"=" + value for name, value in sorted(read_query(query))])
        fields = sorted(read_form(request, most_bytes=MAX_SIGNED_FORM)) if request.body else []
        if parameters or fields:
            address += b"?" + parameters
        if parameters and fields:
            address += b"."
        return address + b"".join([name + value for name, value in fields]) + b"."
