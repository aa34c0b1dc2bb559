"""Public keys that senders publish, kept for as long as they may be trusted.

Schemes only say which address a key is to be had from, and have pinned its host; fetching it is the gateway's
part. Only what the fetched address answered gets in here, never anything of a delivery.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from providers.rejections import SignatureRejected
from providers.schemes.asymmetric import Algorithm, check_with, checked_key, load_public_key
from providers.schemes.scheme import KeyNeeded, KeyRequest
from providers.secrets import SecretFormatError

if TYPE_CHECKING:
    from providers.schemes.asymmetric import PublicKey

MAX_KEYS = 16
"""Keys of one sender that are remembered."""

LONGEST_TRUST = 24 * 3600.0
"""Seconds for which a key is used without having been fetched anew."""

FRESHNESS = 3600.0
"""Seconds after which a set of keys is fetched anew; while that fails, the old one is used."""

REFETCH_INTERVAL = 60.0
"""Seconds at least between two fetches of a set of keys."""

_PEM = "-----BEGIN "

K = TypeVar("K")


def is_pinned(secrets: Sequence[str]) -> bool:
    """Whether the secrets are keys in PEM, which then are not fetched."""
    return any(secret.startswith(_PEM) for secret in secrets)


def credentials_of(secrets: Sequence[str]) -> tuple[str, str]:
    """The name and the password in the first secret, which the others are to take the place of.

    Raises:
        SecretFormatError: one is not ``name:password``.
    """
    for secret in secrets:
        if not secret.isascii() or not secret.isprintable() or not all(secret.partition(":")):
            raise SecretFormatError("is neither a public key in PEM nor client_id:secret")
    name, _, password = secrets[0].partition(":")
    return name, password


def pinned_keys(secrets: Sequence[str], algorithm: Algorithm) -> list[PublicKey]:
    """The keys of an operator who has configured them in PEM instead of having them fetched; empty when not.

    Raises:
        SecretFormatError: some are in PEM and some are not, or one is not for the algorithm.
    """
    if not is_pinned(secrets):
        return []
    keys = [load_public_key(secret, "pem") for secret in secrets]
    for key in keys:
        check_with(key, algorithm)
    return keys


def slot_of(keys: Sequence[PublicKey], algorithm: Algorithm, signature: bytes, message: bytes) -> int:
    """Which of the keys has signed ``message``, from 0.

    Raises:
        SignatureRejected: none has.
    """
    for slot, key in enumerate(keys):
        if check_with(key, algorithm)(signature, message):
            return slot
    raise SignatureRejected("signature_mismatch")


class KeyCache(Generic[K]):
    """Keys by their id: the :data:`MAX_KEYS` used last, each for :data:`LONGEST_TRUST`."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[K, float]] = {}

    def get(self, key_id: str, now: float) -> K | None:
        """The key called ``key_id``, None when there is none that is still to be trusted at ``now``."""
        entry = self._entries.pop(key_id, None)
        if entry is None or not 0 <= now - entry[1] < LONGEST_TRUST:
            return None
        self._entries[key_id] = entry  # the last again
        return entry[0]

    def put(self, key_id: str, key: K, now: float) -> None:
        """Remember a key that was fetched at ``now``."""
        self._entries.pop(key_id, None)
        self._entries[key_id] = key, now
        if len(self._entries) > MAX_KEYS:
            del self._entries[next(iter(self._entries))]


class KeySet:
    """The keys of a sender that publishes all of them at one address (JWK Set, RFC 7517)."""

    def __init__(self, url: str) -> None:
        self._request = KeyRequest(url)
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at = self._tried_at = float("-inf")

    def get(self, key_id: str, now: float) -> PublicKey:
        """The key called ``key_id``.

        Raises:
            SignatureRejected: there is none of that name, and the set was fetched just now.
            KeyNeeded: the set has to be fetched.
        """
        age = now - self._fetched_at
        key = self._keys.get(key_id)
        if key is None or age > LONGEST_TRUST:
            if 0 <= age < REFETCH_INTERVAL:
                raise SignatureRejected("unknown_key")
            raise KeyNeeded(self._request)
        if age > FRESHNESS and now - self._tried_at > REFETCH_INTERVAL:
            self._tried_at = now
            raise KeyNeeded(self._request._replace(is_refresh=True))
        return key

    def learn(self, content: bytes, now: float) -> None:
        """Take over the set that was fetched at ``now``.

        Raises:
            ValueError: it is no set of keys.
        """
        document = orjson.loads(content)
        members = document.get("keys") if isinstance(document, dict) else None
        keys = _read_keys(members if isinstance(members, list) else [])
        if not keys:
            raise ValueError("there is no key in the set")
        self._keys, self._fetched_at = keys, now


def read_jwk(jwk: Mapping[str, Any]) -> PublicKey:
    """The public key in a JWK.

    Raises:
        ValueError: there is none, or it is of a kind that no sender signs with.
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


def _read_keys(jwks: Sequence[object]) -> dict[str, PublicKey]:
    keys: dict[str, PublicKey] = {}
    for jwk in jwks[:MAX_KEYS]:
        if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str) and jwk.get("use", "sig") == "sig":
            try:
                keys[jwk["kid"]] = read_jwk(jwk)
            except ValueError:  # of a kind that others may use
                continue
    return keys


def _number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_member(jwk, name))


def _member(jwk: Mapping[str, Any], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str) or not text.isascii():
        raise SecretFormatError(f"has no {name}")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
