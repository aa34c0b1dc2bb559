"""JSON Web Keys (RFC 7517): public keys in JSON, of the kinds that senders sign with (RFC 7518, RFC 8037)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.signatures.schemes.asymmetric import checked_key
from gateway.signatures.secrets import SecretFormatError

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

MAX_KEYS_IN_SET = 16
"""Keys of a JWK Set that are read. Senders publish two while they change one."""


def read_jwk(jwk: Mapping[str, Any]) -> PublicKey:
    """Read the public key in a JWK.

    Raises:
        ValueError: The JWK has no key, or one of a kind that no sender signs with.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            return checked_key(rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n")).public_key())
        case "EC", "P-256" | "P-384" as name:
            curve = ec.SECP256R1() if name == "P-256" else ec.SECP384R1()
            return ec.EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), curve).public_key()
        case "OKP", "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_member(jwk, "x"))
    raise SecretFormatError("is not a key that a sender signs with")


def read_jwk_set(jwks: Sequence[object]) -> dict[str, PublicKey]:
    """Read the signing keys of a JWK Set by their ids. Keys of other kinds are skipped."""
    keys: dict[str, PublicKey] = {}
    for jwk in jwks[:MAX_KEYS_IN_SET]:
        if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str) and jwk.get("use", "sig") == "sig":
            try:
                keys[jwk["kid"]] = read_jwk(jwk)
            except ValueError:  # a kind of key for other readers of the set
                continue
    return keys


def _number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_member(jwk, name))


def _member(jwk: Mapping[str, Any], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str) or not text.isascii():
        raise SecretFormatError(f"has no {name}")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
