"""PayPal: a signature in a header, by a certificate whose URL is in another header.

The signature covers the id and the time of the transmission, the id of the webhook, and only a CRC-32 of the body.
Anybody can make another body with the same CRC-32: anyone who has seen one request can forge others.
Source: https://developer.paypal.com/api/rest/webhooks/rest
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import (
    KeyAlgorithm,
    load_private_key,
    make_key_pair,
    sign_with,
)
from gateway.signatures.schemes.base import NO_PARAMETERS, WHOLE_BODY, Scheme, SchemeSpec, is_sandbox
from gateway.signatures.schemes.certificates import check_chain, key_of, read_chain, usual_roots
from gateway.signatures.schemes.encodings import ENCODERS, decode_signature
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.key_cache import CachedKey, NamedKeys
from gateway.signatures.schemes.key_verifier import NamedKeyVerifier, pinned_keys
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.strict_fields import single
from gateway.signatures.secrets import SecretPair
from gateway.signatures.times import rfc3339_seconds

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from gateway.signatures.schemes.asymmetric import PublicKey

_ALGORITHM = KeyAlgorithm("rsa", "sha256")
_ALGORITHM_NAME = b"SHA256withRSA"
_CERTIFICATE = re.compile(
    r"https://api(-m)?(\.sandbox)?\.paypal\.com/v1/notifications/certs/CERT-[A-Za-z0-9-]{1,64}"
)
_NAME = "messageverificationcerts"


class PaypalSpec(SchemeSpec):
    """How PayPal signs. The parameter ``environment`` may be ``sandbox``."""

    scheme: Literal["paypal"] = Field(description="The family of the scheme.")

    @property
    @override
    def needed_parameters(self) -> Sequence[str]:
        return ("webhook_id",)

    @property
    @override
    def needs_secret(self) -> bool:
        return False

    @property
    @override
    def is_body_bound(self) -> bool:
        return False

    @override
    def signs_headers(self, names: Sequence[bytes]) -> bool:
        return names[:1] == [b"paypal-transmission-id"]

    @property
    @override
    def signed_places(self) -> Sequence[str]:
        return (WHOLE_BODY,)  # by a checksum, which stops accidents but not forgers

    @override
    def make_secret(self) -> SecretPair:
        return make_key_pair(_ALGORITHM)

    @override
    def scheme_for(self, layout: Layout) -> PaypalScheme:
        return PaypalScheme()

    @override
    def describe(self) -> str:
        return "RSA of the transmission and the CRC-32 of the body, by a certificate of PayPal"


class PaypalScheme(Scheme):
    """The scheme of a :class:`PaypalSpec`. A secret is a certificate in PEM, which then is not fetched.

    Args:
        roots: the authorities that may issue the certificates; those of certifi if None.
    """

    def __init__(self, roots: Sequence[Certificate] | None = None) -> None:
        self._given_roots = roots

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> PaypalVerifier:
        return PaypalVerifier(self, pinned_keys(secrets, _ALGORITHM), parameters)

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        given = request.headers.get(b"paypal-transmission-id") or b"00000000-0000-0000-0000-000000000000"
        moment = rfc3339_seconds(int(now)).encode()
        message = _message(given, moment, parameters.get("webhook_id", ""), request.body)
        signature = sign_with(load_private_key(secret), _ALGORITHM, message)
        headers = {
            "PAYPAL-TRANSMISSION-ID": given.decode("latin-1"),
            "PAYPAL-TRANSMISSION-TIME": moment.decode(),
            "PAYPAL-TRANSMISSION-SIG": ENCODERS["base64"](signature).decode(),
            "PAYPAL-CERT-URL": f"https://{_host(parameters)}/v1/notifications/certs/CERT-simulated",
            "PAYPAL-AUTH-ALGO": _ALGORITHM_NAME.decode(),
        }
        return Signed(headers, request.body, request.query)

    @cached_property
    def roots(self) -> Sequence[Certificate]:
        """The authorities that may issue the certificates."""
        return usual_roots() if self._given_roots is None else self._given_roots


class PaypalVerifier(NamedKeyVerifier):
    """A :class:`PaypalScheme` bound to the id of one webhook."""

    def __init__(
        self, scheme: PaypalScheme, pinned: Sequence[PublicKey], parameters: Mapping[str, str]
    ) -> None:
        super().__init__(pinned, PaypalCertificates(scheme, _host(parameters)))
        self._webhook_id = parameters["webhook_id"]

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        headers = request.headers
        signature = decode_signature(single(headers, b"paypal-transmission-sig", "signature_missing"))
        given = single(headers, b"paypal-transmission-id", "signed_header_missing")
        moment = single(headers, b"paypal-transmission-time", "timestamp_missing")
        url = single(headers, b"paypal-cert-url", "signed_header_missing").decode("latin-1")
        if single(headers, b"paypal-auth-algo", "signed_header_missing") != _ALGORITHM_NAME:
            raise SignatureRejected("signature_malformed")
        message = _message(given, moment, self._webhook_id, request.body)
        slot = self.slot_of(url, _ALGORITHM, signature, message, now)
        # The id and the time belong to the attempt, not to the event.
        request.signed = message[len(given) + len(moment) + 1 :]
        return slot


class PaypalCertificates(NamedKeys):
    """The certificates of PayPal or of its sandbox, by their URLs. ``scope`` is the host."""

    def __init__(self, scheme: PaypalScheme, host: str) -> None:
        super().__init__(host)
        self._scheme = scheme

    @override
    def request(self, name: str, now: float) -> KeyRequest:
        prefix = f"https://{self.scope}/"
        is_there = name.startswith((prefix, prefix.replace("api.", "api-m.")))
        if not is_there or not _CERTIFICATE.fullmatch(name):
            raise SignatureRejected("unknown_key")
        return KeyRequest(name)

    @override
    def read(self, name: str, content: bytes, now: float) -> CachedKey:
        chain = read_chain(content)
        key = key_of(chain[0], now)
        check_chain(chain, self._scheme.roots, self.scope.replace("api.", f"{_NAME}."), now)
        return key


def _host(parameters: Mapping[str, str]) -> str:
    return "api.sandbox.paypal.com" if is_sandbox(parameters) else "api.paypal.com"


def _message(given: bytes, moment: bytes, webhook_id: str, body: bytes) -> bytes:
    return b"%b|%b|%b|%d" % (given, moment, webhook_id.encode(), zlib.crc32(body))
