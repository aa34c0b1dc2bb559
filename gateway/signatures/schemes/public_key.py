"""A signature with a private key over a template of the request. The public key is configured.

Ed25519, ECDSA and RSA. As with HMAC, the signature covers what its ``signed`` template names and nothing else.
Sources: https://www.rfc-editor.org/rfc/rfc8032 (Ed25519) and the page of each sender (``docs`` in ``providers/*.yaml``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import (
    Check,
    KeyAlgorithm,
    KeyFormat,
    check_with,
    load_private_key,
    load_public_key,
    make_key_pair,
    sign_with,
)
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, StaticVerifier
from gateway.signatures.schemes.encodings import ENCODERS, Encoding, decode_signature
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.strict_fields import single
from gateway.signatures.schemes.template import (
    Alphabets,
    SignedTemplate,
)
from gateway.signatures.schemes.templated import TemplatedSpec
from gateway.signatures.schemes.timestamps import Affix, HeaderName, Timestamp, TimestampSpec
from gateway.signatures.secrets import SecretPair

_ALGORITHMS = {
    "ed25519": KeyAlgorithm("ed25519"),
    "ecdsa-p256-sha256": KeyAlgorithm("ecdsa", "sha256", "secp256r1"),
    "ecdsa-p256-sha1": KeyAlgorithm("ecdsa", "sha1", "secp256r1"),
    "rsa-sha256": KeyAlgorithm("rsa", "sha256"),
    "rsa-sha1": KeyAlgorithm("rsa", "sha1"),
}


class PublicKeySpec(TemplatedSpec):
    """How a sender signs with a private key."""

    scheme: Literal["public_key"] = Field(description="The family of the scheme.")
    header: HeaderName = Field(description="The header that carries the signature.")
    algorithm: Literal["ed25519", "ecdsa-p256-sha256", "ecdsa-p256-sha1", "rsa-sha256", "rsa-sha1"] = Field(
        description="The algorithm; RSA is PKCS#1 v1.5, and signatures of ECDSA are in DER."
    )
    encoding: Encoding = Field("base64", description="The encoding of the signature.")
    prefix: Affix = Field("", description="The text before the signature.")
    signed: str = Field(
        "{body}",
        max_length=256,
        description="The signed bytes: literal text and fields in braces, as for an HMAC.",
    )
    alphabets: Alphabets = Field(
        {}, description="Fields of signed, and the characters that they consist of, as for an HMAC."
    )
    timestamp: TimestampSpec | None = Field(
        None, description="The signed timestamp; without one, replays pass."
    )
    key_format: KeyFormat = Field("pem", description="The format of the public key.")

    @model_validator(mode="after")
    def _is_consistent(self) -> PublicKeySpec:
        fields = self.check_template()
        if not self.signs_body:
            raise ValueError(
                "signed must contain {body}, or the signature would prove nothing about the event"
            )
        if any(field == "secret" or field.startswith(("body:", "item:")) for field in fields):
            raise ValueError("signed cannot contain {secret}, {body:/…} or {item:/…}")
        if ("timestamp" in fields) != (self.timestamp is not None):
            raise ValueError("signed must contain {timestamp} exactly when a timestamp is described")
        if self.timestamp and not self.timestamp.header:
            raise ValueError("timestamp must stand in a header of its own")
        if self.key_format in {"hex", "base64"} and self.algorithm != "ed25519":
            raise ValueError("key_format must be der or pem, since only an Ed25519 key is plain bytes")
        return self

    @override
    def make_secret(self) -> SecretPair:
        return make_key_pair(_ALGORITHMS[self.algorithm], self.key_format)

    @override
    def scheme_for(self, layout: Layout) -> PublicKeyScheme:
        return PublicKeyScheme(self, layout.id_header)

    @override
    def describe(self) -> str:
        return f"{self.algorithm} of {self.signed}, {self.encoding} in {self.header}"


class PublicKeyScheme(Scheme):
    """The scheme of a :class:`PublicKeySpec`. ``id_header`` is the header that ``{id}`` stands for."""

    def __init__(self, spec: PublicKeySpec, id_header: bytes | None = None) -> None:
        self.spec = spec
        self.algorithm = _ALGORITHMS[spec.algorithm]
        self.template = SignedTemplate(spec.signed, id_header, spec.alphabets)
        self.timestamp = Timestamp(spec.timestamp) if spec.timestamp else None

    @override
    def bind(
        self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> PublicKeyVerifier:
        keys = [load_public_key(secret, self.spec.key_format) for secret in secrets]
        return PublicKeyVerifier(self, [check_with(key, self.algorithm) for key in keys])

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        spec = self.spec
        fields, moment = {}, b""
        if self.timestamp and spec.timestamp and spec.timestamp.header:
            fields[spec.timestamp.header] = self.timestamp.write(now)
            moment = fields[spec.timestamp.header].encode()
        message = self.template.render(request, moment)
        signature = sign_with(load_private_key(secret), self.algorithm, message)
        fields[spec.header] = spec.prefix + ENCODERS[spec.encoding](signature).decode()
        return Signed(fields, request.body, request.query)


class PublicKeyVerifier(StaticVerifier):
    """A :class:`PublicKeyScheme` bound to its keys."""

    def __init__(self, scheme: PublicKeyScheme, checks: Sequence[Check]) -> None:
        spec = scheme.spec
        self._checks = checks
        self._render = scheme.template.render
        self._header = spec.header.lower().encode()
        self._prefix = spec.prefix.encode()
        self._encoding = spec.encoding
        self._timestamp = scheme.timestamp
        if spec.timestamp and spec.timestamp.header:
            self._timestamp_header = spec.timestamp.header.lower().encode()

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        text = single(request.headers, self._header, "signature_missing")
        if not text.startswith(self._prefix):
            raise SignatureRejected("signature_malformed")
        signature = decode_signature(text[len(self._prefix) :], self._encoding)
        moment, seconds = b"", 0.0
        if self._timestamp:
            moment = single(request.headers, self._timestamp_header, "timestamp_missing")
            seconds = self._timestamp.read(moment)
        message = self._render(request, moment)
        for slot, matches in enumerate(self._checks):
            if matches(signature, message):
                if self._timestamp:
                    self._timestamp.check(seconds, now)
                    request.signed_at = seconds
                return slot
        raise SignatureRejected("signature_mismatch")
