"""Twilio: HMAC-SHA1 (or SHA-256 with a shared key) over the address and what was sent to it.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security
Covered: the address with its query, and the fields of a form or, through ``bodySHA256`` in the query, any other
body. Not covered: headers, when it was sent, how often a field with the same value is repeated, and where a
name ends and its value begins. Twilio signs now with the port and now without, so either is accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec
from gateway.signatures.schemes.custom_hmac import ClaimVerifier, Content, SignedField, write_hmac
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.signed_forms import FORM, MAX_SIGNED_FORM, media_type, read_form, read_query
from gateway.signatures.schemes.strict_fields import single, split_elements
from gateway.signatures.secrets import decode_secret

_SIGNATURE = "X-Twilio-Signature"
_SETTINGS = b"x-twilio-webhooks-signature-settings"
_ALGORITHMS = {b"": "sha1", b"HMAC_SHA1": "sha1", b"HMAC_SHA256": "sha256"}
_URL = re.compile(r"(https?)://([^/?#:]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?((?:[/?].*)?)", re.ASCII)
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


class TwilioSpec(SchemeSpec):
    """How Twilio signs."""

    scheme: Literal["twilio"] = Field(description="The family of the scheme.")

    @property
    @override
    def needs_url(self) -> bool:
        return True

    @override
    def scheme_for(self, layout: Layout) -> TwilioScheme:
        return TwilioScheme()

    @override
    def describe(self) -> str:
        return f"HMAC-sha1 of the address and the form, base64 in {_SIGNATURE}"


class TwilioScheme(Scheme):
    """The scheme of a :class:`TwilioSpec`."""

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> ClaimVerifier:
        return ClaimVerifier([decode_secret(secret, "raw") for secret in secrets], _read, "base64")

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        query, url = request.query, request.url
        if request.body and media_type(request.headers) != FORM:
            kept = [part for part in query.split(b"&") if part and not part.startswith(b"bodySHA256=")]
            query = b"&".join([*kept, b"bodySHA256=" + hashlib.sha256(request.body).hexdigest().encode()])
            url = f"{url.partition('?')[0]}?{query.decode('latin-1')}"
        message = url.encode("latin-1") + (_form(request, query) or b"")
        signature = write_hmac(decode_secret(secret, "raw"), message, _algorithm(request), "base64")
        return Signed({_SIGNATURE: signature.decode()}, request.body, query)


def _read(request: RawRequest) -> SignedField:
    signature = single(request.headers, _SIGNATURE.lower().encode(), "signature_missing")
    return SignedField([signature], partial(_content, request), _algorithm(request))


def _content(request: RawRequest) -> Content:
    form = _form(request, request.query)
    messages = [url + (form or b"") for url in _spellings(request.url)]
    return Content(messages, None if form is None else messages[0])


def _form(request: RawRequest, query: bytes) -> bytes | None:
    """What is signed after the address: the fields of a form; None when the address has the body's digest."""
    digests = [value for name, value in read_query(query) if name == b"bodySHA256"]
    if len(digests) > 1:
        raise SignatureRejected("signature_ambiguous")
    if digests:
        if not hmac.compare_digest(hashlib.sha256(request.body).hexdigest().encode(), digests[0].lower()):
            raise SignatureRejected("signature_mismatch")
        return None
    if not request.body:
        return b""
    return b"".join(
        [name + value for name, value in sorted(set(read_form(request, most_bytes=MAX_SIGNED_FORM)))]
    )


def _spellings(url: str) -> list[bytes]:
    """The address without its port and with it."""
    match = _URL.fullmatch(url)
    if match is None:
        raise SignatureRejected("signature_malformed")
    scheme, host, port, rest = match.groups()
    return [
        f"{scheme}://{host}{spelling}{rest}".encode("latin-1")
        for spelling in ("", port or _DEFAULT_PORTS[scheme])
    ]


def _algorithm(request: RawRequest) -> str:
    named = b""
    if _SETTINGS in request.headers:
        elements = split_elements(single(request.headers, _SETTINGS, "signature_malformed"), b",")
        pairs = [element.strip().partition(b"=") for element in elements]
        named = next((value for name, _, value in pairs if name == b"algorithm"), b"")
    if named.upper() not in _ALGORITHMS:
        raise SignatureRejected("signature_malformed")
    return _ALGORITHMS[named.upper()]
