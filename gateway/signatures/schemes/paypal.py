"""PayPal: a signature in headers, by a certificate whose address stands in another.

Signed are the id and the moment of the transmission, the webhook's id, and of the body only its CRC-32, for which
anybody can make another body: who saw one delivery can forge others.
Source: https://developer.paypal.com/api/rest/webhooks/rest
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import (
    KeyAlgorithm,
    load_private_key,
    make_key_pair,
    sign_with,
)
from gateway.signatures.schemes.base import NO_PARAMETERS, WHOLE_BODY, SchemeSpec
from gateway.signatures.schemes.certificates import CertifiedKey, check_chain, key_of, read_chain, usual_roots
from gateway.signatures.schemes.encodings import ENCODERS, decode_signature
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.schemes.key_cache import FetchingVerifier, NamedKeys, pinned_keys, slot_of
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
    """PayPal; the parameter ``environment`` is ``sandbox`` for its sandbox."""

    scheme: Literal["paypal"] = Field(description="The family of the scheme.")

    @property
    def needed_parameters(self) -> Sequence[str]:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.needed_parameters`."""
        return ("webhook_id",)

    @property
    def needs_secret(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.needs_secret`."""
        return False

    @property
    def is_body_bound(self) -> bool:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.is_body_bound`."""
        return False

    def signs_headers(self, names: Sequence[bytes]) -> bool:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.signs_headers`."""
        return names[:1] == [b"paypal-transmission-id"]

    @property
    def signed_places(self) -> Sequence[str]:
        """See :attr:`gateway.signatures.schemes.base.SchemeSpec.signed_places`."""
        return (WHOLE_BODY,)  # by a checksum: enough for accidents, and not for forgers

    def make_secret(self) -> SecretPair:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.make_secret`."""
        return make_key_pair(_ALGORITHM)

    def scheme_for(self, layout: Layout) -> PaypalScheme:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.scheme_for`."""
        return PaypalScheme()

    def describe(self) -> str:
        """See :meth:`gateway.signatures.schemes.base.SchemeSpec.describe`."""
        return "RSA of the transmission and the CRC-32 of the body, by a certificate of PayPal"


class PaypalScheme:
    """The scheme of a :class:`PaypalSpec`; ``roots`` may issue its certificates, the usual ones when None."""

    def __init__(self, roots: Sequence[Certificate] | None = None) -> None:
        self._given_roots = roots

    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> PaypalVerifier:
        """See :meth:`gateway.signatures.schemes.base.Scheme.bind`; a secret is a certificate that is not to be fetched."""
        return PaypalVerifier(self, pinned_keys(secrets, _ALGORITHM), parameters)

    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        """See :meth:`gateway.signatures.schemes.base.Scheme.sign`; the secret is a private key in PEM."""
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
        """Who may issue the certificates."""
        return usual_roots() if self._given_roots is None else self._given_roots


class PaypalVerifier(FetchingVerifier):
    """A :class:`PaypalScheme` bound to the id of one webhook."""

    def __init__(
        self, scheme: PaypalScheme, pinned: Sequence[PublicKey], parameters: Mapping[str, str]
    ) -> None:
        self._pinned = pinned
        self._webhook_id = parameters["webhook_id"]
        self._certificates = PaypalCertificates(scheme, _host(parameters))
        super().__init__(None if pinned else self._certificates)

    def verify(self, request: RawRequest, now: float) -> int:
        """See :meth:`gateway.signatures.schemes.base.Verifier.verify`."""
        headers = request.headers
        signature = decode_signature(single(headers, b"paypal-transmission-sig", "signature_missing"))
        given = single(headers, b"paypal-transmission-id", "signed_header_missing")
        moment = single(headers, b"paypal-transmission-time", "timestamp_missing")
        url = single(headers, b"paypal-cert-url", "signed_header_missing").decode("latin-1")
        if single(headers, b"paypal-auth-algo", "signed_header_missing") != _ALGORITHM_NAME:
            raise SignatureRejected("signature_malformed")
        keys = self._pinned or [self._certificates.get(url, now).valid_at(now)]
        message = _message(given, moment, self._webhook_id, request.body)
        slot = slot_of(keys, _ALGORITHM, signature, message)
        self._certificates.note_proof(url)
        # Other bodies have the same checksum; the id and the moment are those of the transmission.
        request.signed = message[len(given) + len(moment) + 1 :]
        return slot


class PaypalCertificates(NamedKeys[CertifiedKey]):
    """The certificates of PayPal or of its sandbox, by their addresses; ``scope`` is the host."""

    def __init__(self, scheme: PaypalScheme, host: str) -> None:
        super().__init__(host)
        self._scheme = scheme

    def request(self, name: str, now: float) -> KeyRequest:
        """See :meth:`gateway.signatures.schemes.fetched_keys.FetchedKeys.request`."""
        prefix = f"https://{self.scope}/"
        is_there = name.startswith((prefix, prefix.replace("api.", "api-m.")))
        if not is_there or not _CERTIFICATE.fullmatch(name):
            raise SignatureRejected("unknown_key")
        return KeyRequest(name)

    def read(self, name: str, content: bytes, now: float) -> CertifiedKey:
        """See :meth:`gateway.signatures.schemes.key_cache.NamedKeys.read`."""
        chain = read_chain(content)
        key = key_of(chain[0], now)
        check_chain(chain, self._scheme.roots, self.scope.replace("api.", f"{_NAME}."), now)
        return key


def _host(parameters: Mapping[str, str]) -> str:
    return "api.sandbox.paypal.com" if parameters.get("environment") == "sandbox" else "api.paypal.com"


def _message(given: bytes, moment: bytes, webhook_id: str, body: bytes) -> bytes:
    return b"%b|%b|%b|%d" % (given, moment, webhook_id.encode(), zlib.crc32(body))
