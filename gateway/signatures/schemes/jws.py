"""Signed tokens (JWS compact serialization, RFC 7515): three segments of base64url, the last one signs the other two.

The receiver alone decides which algorithms and keys count. The token only says which of them was used; whatever else it
says about keys is ignored. Only the header is decoded before the signature is checked, so that a large body costs
an attacker more than it costs the gateway.

PyJWT is not used (measured with 2.15.1 on 2026-11-30). It decodes the claims before it checks the signature: a forged
token of 1 MB costs 34 ms of processor time, here 1.6 ms. It accepts tokens with padding, so that one token has several
spellings. Importing it loads cryptography, 10 MB of memory that senders with a shared secret do not need. The tests
compare this module with it.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.asymmetric import Check, KeyAlgorithm, check_with, load_private_key, sign_with
from gateway.signatures.schemes.strict_fields import json_object

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

TokenAlgorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]

HMACS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
"""The digest of each algorithm that uses a shared secret."""

ALGORITHMS = {
    "RS256": KeyAlgorithm("rsa", "sha256"),
    "RS384": KeyAlgorithm("rsa", "sha384"),
    "RS512": KeyAlgorithm("rsa", "sha512"),
    "ES256": KeyAlgorithm("ecdsa", "sha256", "secp256r1"),
    "ES384": KeyAlgorithm("ecdsa", "sha384", "secp384r1"),
    "EdDSA": KeyAlgorithm("ed25519"),
}
"""The algorithms that use a private key."""

_COORDINATE_BYTES = {"ES256": 32, "ES384": 48}
"""Bytes of each of the two numbers in an ECDSA signature (RFC 7518, section 3.4)."""

_MAX_SEGMENT_BYTES = (4096, 8 * 1024 * 1024, 1024)
"""Maximum bytes of the header, the claims and the signature. The claims may be a whole event: they are only hashed
before the signature is checked."""


class Token(NamedTuple):
    """A token whose signature has not been checked.

    Attributes:
        algorithm: the algorithm that it claims.
        key_id: the name of the key that it claims; empty if it names none.
        signed: the bytes that the signature covers.
        signature: the signature, decoded.
    """

    algorithm: str
    key_id: str
    signed: bytes
    signature: bytes

    def claims(self) -> dict[str, Any]:
        """Decode the claims. Call it only after the signature is checked.

        Raises:
            SignatureRejected: The claims are not a JSON object.
        """
        return json_object(_decode(self.signed.partition(b".")[2]))


def read_token(text: bytes, algorithms: Collection[str]) -> Token:
    """Parse the token in ``text`` without decoding its claims.

    Raises:
        SignatureRejected: The text is no token, its algorithm is not one of ``algorithms``, or it has a critical
            extension (``crit``, RFC 7515) or an unencoded payload (``b64``, RFC 7797).
    """
    segments = text.split(b".", 3)
    sizes = [len(segment) for segment in segments]
    if len(sizes) != len(_MAX_SEGMENT_BYTES) or any(
        not 1 < size <= limit for size, limit in zip(sizes, _MAX_SEGMENT_BYTES, strict=True)
    ):
        raise SignatureRejected("signature_malformed")
    header = json_object(_decode(segments[0]))
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if algorithm not in algorithms or type(key_id) is not str or "crit" in header or "b64" in header:
        raise SignatureRejected("signature_malformed")
    return Token(str(algorithm), key_id, text[: -sizes[2] - 1], _decode(segments[2]))


def write_token(algorithm: str, secret: str, claims: dict[str, Any]) -> str:
    """Make a token, signed with the shared secret or with a private key in PEM.

    Raises:
        SecretFormatError: The secret does not fit the algorithm.
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
    """Return a check of tokens that are signed with a shared secret."""
    digest = HMACS[algorithm]
    return lambda signature, signed: hmac.compare_digest(hmac.digest(secret, signed, digest), signature)


def check_with_key(key: PublicKey, algorithm: str) -> Check:
    """Return a check of tokens that are signed with the private half of ``key``.

    Raises:
        SecretFormatError: The algorithm needs another kind of key.
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


def _encode(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decode(segment: bytes) -> bytes:
    """Decode a segment. Of the spellings that a decoder accepts for the same bytes only the canonical one passes."""
    try:
        content = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except ValueError:
        content = b""
    if _encode(content) != segment:
        raise SignatureRejected("signature_malformed")
    return content
