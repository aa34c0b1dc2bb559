"""Paddle Classic: a signature in the form, of all its other fields as PHP writes an array of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from pydantic import Field
from typing_extensions import override

from gateway.signatures.forms import Pair, read_pairs
from gateway.signatures.rejections import MalformedRequest, SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.asymmetric import (
    KeyAlgorithm,
    check_with,
    load_private_key,
    load_public_key,
    make_key_pair,
    sign_with,
)
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec, StaticVerifier
from gateway.signatures.schemes.encodings import ENCODERS, decode_signature
from gateway.signatures.schemes.key_verifier import slot_of
from gateway.signatures.schemes.layout import Layout
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.signed_forms import only
from gateway.signatures.secrets import SecretPair

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

_FIELD = b"p_signature"
_ALGORITHM = KeyAlgorithm("rsa", "sha1")
_MOST_FIELDS = 500


class PaddleClassicSpec(SchemeSpec):
    """Paddle Classic; the secret is the public key of the vendor's account, in PEM."""

    scheme: Literal["paddle_classic"] = Field(description="The family of the scheme.")

    @override
    def make_secret(self) -> SecretPair:
        return make_key_pair(_ALGORITHM)

    @override
    def scheme_for(self, layout: Layout) -> PaddleClassicScheme:
        return PaddleClassicScheme()

    @override
    def describe(self) -> str:
        return f"RSA-SHA1 of the form's fields, base64 in its field {_FIELD.decode()}"


class PaddleClassicScheme(Scheme):
    """The scheme of a :class:`PaddleClassicSpec`."""

    @override
    def bind(
        self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> PaddleClassicVerifier:
        keys = [load_public_key(secret, "pem") for secret in secrets]
        for key in keys:
            check_with(key, _ALGORITHM)
        return PaddleClassicVerifier(keys)

    @override
    def sign(
        self, request: RawRequest, secret: str, now: float, parameters: Mapping[str, str] = NO_PARAMETERS
    ) -> Signed:
        fields = _read_form(request.body)
        fields.pop(_FIELD, None)
        fields[_FIELD] = ENCODERS["base64"](
            sign_with(load_private_key(secret), _ALGORITHM, serialize(fields))
        )
        return Signed({}, urlencode(fields).encode(), request.query)


class PaddleClassicVerifier(StaticVerifier):
    """A :class:`PaddleClassicScheme` bound to its keys."""

    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._keys = keys

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        shown = only(_read_pairs(request.body, _FIELD), _FIELD, "signature_missing")
        signature = decode_signature(shown)
        fields = _read_form(request.body)
        del fields[_FIELD]
        signed = serialize(fields)
        slot = slot_of(self._keys, _ALGORITHM, signature, signed)
        request.signed = signed
        return slot


def serialize(fields: Mapping[bytes, bytes]) -> bytes:
    """Fields, sorted by name, as PHP's ``serialize`` writes them; lengths are of bytes."""
    parts = [
        b's:%d:"%b";s:%d:"%b";' % (len(name), name, len(fields[name]), fields[name])
        for name in sorted(fields)
    ]
    return b"a:%d:{%b}" % (len(fields), b"".join(parts))


def _read_pairs(body: bytes, *names: bytes) -> list[Pair]:
    try:
        return read_pairs(body, _MOST_FIELDS, names or None)
    except MalformedRequest:
        raise SignatureRejected("signature_malformed") from None


def _read_form(body: bytes) -> dict[bytes, bytes]:
    pairs = _read_pairs(body)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise SignatureRejected("signature_ambiguous")
    return fields
