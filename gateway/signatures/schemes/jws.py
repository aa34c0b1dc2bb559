"""Signed tokens (RFC 7515, compact): three segments of base64url, of which the last signs the other two.

Which algorithms count, and with which keys, is the receiver's business alone: the token only says which of them
was used, and whatever it says about keys beyond the name of one is not looked at. Nothing of a token but its
header is decoded before its signature is checked, so that a large body costs a stranger more than us.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.asymmetric import Check, KeyAlgorithm, check_with, load_private_key, sign_with

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

TokenAlgorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]

HMACS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
"""The digests of the algorithms with a shared secret."""

ALGORITHMS = {
    "RS256": KeyAlgorithm("rsa", "sha256"),
    "RS384": KeyAlgorithm("rsa", "sha384"),
    "RS512": KeyAlgorithm("rsa", "sha512"),
    "ES256": KeyAlgorithm("ecdsa", "sha256", "secp256r1"),
    "ES384": KeyAlgorithm("ecdsa", "sha384", "secp384r1"),
    "EdDSA": KeyAlgorithm("ed25519"),
}
"""The algorithms with a private key."""

_COORDINATE_BYTES = {"ES256": 32, "ES384": 48}

_MOST = (4096, 8 * 1024 * 1024, 1024)
"""Bytes of the header, the claims and the signature; the claims are not looked at before the signature is checked."""


class Token(NamedTuple):
    """A token whose signature is not checked.

    Attributes:
        algorithm: how it says that it is signed.
        key_id: which key it says it is signed with; empty when it says nothing.
        signed: the bytes that the signature is of.
        signature: the signature, decoded.
    """

    algorithm: str
    key_id: str
    signed: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """What it says, once its signature is checked.

        Raises:
            SignatureRejected: it says nothing that can be read.
        """
        return _read_object(self.signed.partition(b".")[2])


def read_token(text: bytes, algorithms: Collection[str]) -> Token:
    """The token in ``text``.

    Raises:
        SignatureRejected: it is none, is signed with another algorithm than ``algorithms``, or demands to be
            understood in ways that nobody here sends.
    """
    segments = text.split(b".", 3)
    sizes = [len(segment) for segment in segments]
    if len(sizes) != len(_MOST) or any(not 1 < size <= most for size, most in zip(sizes, _MOST, strict=True)):
        raise SignatureRejected("signature_malformed")
    header = _read_object(segments[0])
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if algorithm not in algorithms or type(key_id) is not str or "crit" in header or "b64" in header:
        raise SignatureRejected("signature_malformed")
    return Token(str(algorithm), key_id, text[: -sizes[2] - 1], _decode(segments[2]))


def write_token(algorithm: str, secret: str, claims: dict[str, Any]) -> str:
    """A token signed with ``secret``: the shared one, or a private key in PEM.

    Raises:
        SecretFormatError: the secret is not one for the algorithm.
    """
    header = _encode(orjson.dumps({"alg": algorithm, "typ": "JWT"}))
    signed = b"%b.%b" % (header, _encode(orjson.dumps(claims)))
    if algorithm in HMACS:
        signature = hmac.digest(secret.encode(), signed, HMACS[algorithm])
    else:
        signature = sign_with(load_private_key(secret), ALGORITHMS[algorithm], signed)
        if algorithm in _COORDINATE_BYTES:
            signature = _to_coordinates(signature, _COORDINATE_BYTES[algorithm])
    return f"{signed.decode()}.{_encode(signature).decode()}"


def check_with_secret(secret: bytes, algorithm: str) -> Check:
    """How tokens that are signed with a shared secret are checked."""
    digest = HMACS[algorithm]
    return lambda signature, signed: hmac.compare_digest(hmac.digest(secret, signed, digest), signature)


def check_with_key(key: PublicKey, algorithm: str) -> Check:
    """How tokens of the owner of ``key`` are checked.

    Raises:
        SecretFormatError: the algorithm takes other keys.
    """
    matches = check_with(key, ALGORITHMS[algorithm])
    size = _COORDINATE_BYTES.get(algorithm)
    if size is None:
        return matches
    return lambda signature, signed: len(signature) == 2 * size and matches(_to_der(signature, size), signed)


def _to_der(signature: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415

    return encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))


def _to_coordinates(der: bytes, size: int) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature  # noqa: PLC0415

    return b"".join(number.to_bytes(size) for number in decode_dss_signature(der))


def _read_object(segment: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(_decode(segment))
    except orjson.JSONDecodeError:
        value = None
    if type(value) is not dict:
        raise SignatureRejected("signature_malformed")
    return value


def _encode(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decode(segment: bytes) -> bytes:
    """The content of a segment; of the spellings that a decoder takes for the same only one is let in."""
    try:
        content = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except ValueError:
        content = b""
    if _encode(content) != segment:
        raise SignatureRejected("signature_malformed")
    return content
