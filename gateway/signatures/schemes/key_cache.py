"""Public keys that senders publish, kept for as long as they may be trusted.

Schemes only say which address a key is to be had from, and have pinned its host; fetching it is the gateway's
part. Only what the fetched address answered gets in here, never anything of a delivery.

A key is fetched anew long before it is trusted no more, so that deliveries never wait for a key that was good before.
"""

from __future__ import annotations

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.asymmetric import KeyAlgorithm, check_with, checked_key, load_public_key
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeptKey, KeyNeeded, KeyRequest
from gateway.signatures.secrets import SecretFormatError

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

MAX_KEYS = 16
"""Keys of one sender that are remembered once they have verified a delivery; senders have two while they change one."""

MAX_UNPROVEN_KEYS = 8
"""Keys of one sender that were fetched because somebody named them, and have verified nothing yet."""

LONGEST_TRUST = 24 * 3600.0
"""Seconds for which a key is used without having been fetched anew."""

LONGEST_MEMORY = 30 * LONGEST_TRUST
"""Seconds for which a key that can no longer be fetched is still known as one that was good, and asked for."""

FRESHNESS = 3600.0
"""Seconds after which a key is fetched anew; while that fails, the old one is used."""

REFETCH_INTERVAL = 60.0
"""Seconds at least between two attempts to fetch a key anew, and between two fetches of a set of keys."""

_PEM = "-----BEGIN "

_KEY_ID = re.compile(r"[!-~]{1,256}")

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


def pinned_keys(secrets: Sequence[str], algorithm: KeyAlgorithm) -> list[PublicKey]:
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


def slot_of(keys: Sequence[PublicKey], algorithm: KeyAlgorithm, signature: bytes, message: bytes) -> int:
    """Which of the keys has signed ``message``, from 0.

    Raises:
        SignatureRejected: none has.
    """
    for slot, key in enumerate(keys):
        if check_with(key, algorithm)(signature, message):
            return slot
    raise SignatureRejected("signature_mismatch")


class FetchingVerifier:
    """The part of a verifier that may fetch its keys; ``fetched`` is None when they are configured."""

    def __init__(self, fetched: FetchedKeys | None) -> None:
        self.fetched = fetched

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """See :meth:`gateway.signatures.schemes.base.Verifier.learn`."""
        if self.fetched is None:
            raise ValueError(f"no key was asked for, and none is taken from {request.url}")
        self.fetched.learn(request, content, now)


@dataclass(slots=True)
class _Fetch:
    """When something was fetched, and when that was last tried again; in Unix seconds."""

    fetched_at: float
    tried_at: float = float("-inf")

    def age(self, now: float) -> float:
        """Tell how old it is; where the clock has gone back, old enough to be fetched again soon."""
        if now < self.fetched_at:
            self.fetched_at = now - FRESHNESS
        return now - self.fetched_at

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be fetched anew now, and take it as tried then."""
        age = self.age(now)
        pause = REFETCH_INTERVAL if age < LONGEST_TRUST else FRESHNESS
        if age < FRESHNESS or abs(now - self.tried_at) < pause:
            return False
        self.tried_at = now
        return True


@dataclass(slots=True)
class _Entry(Generic[K]):
    """A key by its name; ``is_proven`` when it has verified a delivery."""

    key: K
    content: bytes
    fetch: _Fetch
    is_proven: bool = False


class NamedKeys(ABC, Generic[K]):
    """Keys that are fetched one by one, by the names that deliveries tell; see :class:`FetchedKeys`.

    A stranger can name keys of the sender that exist and sign nothing for us. So a key that has verified a delivery
    gives way only to others that have, and only such keys are renewed and kept.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.version = 0
        self._entries: dict[str, _Entry[K]] = {}  # the one used last is the last

    @abstractmethod
    def request(self, name: str, now: float) -> KeyRequest:
        """See :meth:`FetchedKeys.request`."""

    @abstractmethod
    def read(self, name: str, content: bytes, now: float) -> K:
        """Read the key called ``name``, as it was fetched or kept.

        Raises:
            ValueError: it is another one, none, or not valid at ``now``.
        """

    def get(self, name: str, now: float) -> K:
        """Return the key called ``name``.

        Raises:
            SignatureRejected: no key of this sender has such a name.
            KeyNeeded: it has to be fetched.
        """
        entry = self._entries.pop(name, None)
        if entry is None:
            raise KeyNeeded(self.request(name, now))
        self._entries[name] = entry
        if entry.fetch.age(now) >= LONGEST_TRUST:
            raise KeyNeeded(self.request(name, now)._replace(is_known=entry.is_proven))
        return entry.key

    def note_proof(self, name: str) -> None:
        """Note that the key called ``name`` has verified a delivery."""
        entry = self._entries.get(name)
        if entry is not None and not entry.is_proven:
            entry.is_proven = True
            self.version += 1
            self._drop_excess()

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """See :meth:`FetchedKeys.learn`."""
        name = request.key_id or request.url
        known = self._entries.get(name)
        self._put(name, content, _Fetch(now), now, is_proven=known is not None and known.is_proven)

    def due(self, now: float) -> list[str]:
        """See :meth:`FetchedKeys.due`."""
        for name in [name for name, entry in self._entries.items() if entry.fetch.age(now) > LONGEST_MEMORY]:
            del self._entries[name]
        return [name for name, entry in self._entries.items() if entry.is_proven and entry.fetch.is_due(now)]

    def kept(self) -> list[KeptKey]:
        """See :meth:`FetchedKeys.kept`."""
        return [
            KeptKey(name, entry.content, entry.fetch.fetched_at)
            for name, entry in self._entries.items()
            if entry.is_proven
        ]

    def restore(self, key: KeptKey, now: float) -> None:
        """See :meth:`FetchedKeys.restore`."""
        known = self._entries.get(key.name)
        if known is not None and known.fetch.fetched_at >= key.fetched_at:
            return
        try:
            self.request(key.name, now)
        except SignatureRejected:
            raise ValueError("no key has such a name") from None
        self._put(key.name, key.content, _Fetch(key.fetched_at), now, is_proven=True)

    def _put(self, name: str, content: bytes, fetch: _Fetch, now: float, *, is_proven: bool) -> None:
        entry = _Entry(self.read(name, content, now), content, fetch, is_proven)
        self._entries.pop(name, None)
        self._entries[name] = entry
        self.version += is_proven
        self._drop_excess()

    def _drop_excess(self) -> None:
        for is_proven, most in ((True, MAX_KEYS), (False, MAX_UNPROVEN_KEYS)):
            names = [name for name, entry in self._entries.items() if entry.is_proven is is_proven]
            for name in names[: len(names) - most] if len(names) > most else ():
                del self._entries[name]


class KeySet:
    """The keys of a sender that publishes all of them at one address (JWK Set, RFC 7517); see :class:`FetchedKeys`."""

    def __init__(self, url: str) -> None:
        self.scope = url
        self.version = 0
        self._keys: dict[str, PublicKey] = {}
        self._content = b""
        self._fetch: _Fetch | None = None

    def get(self, key_id: str, now: float) -> PublicKey:
        """Return the key called ``key_id``.

        Raises:
            SignatureRejected: there is none of that name, and the set was fetched just now.
            KeyNeeded: the set has to be fetched.
        """
        key = self._keys.get(key_id)
        age = self._fetch.age(now) if self._fetch else LONGEST_TRUST
        if key is not None and age < LONGEST_TRUST:
            return key
        if age < REFETCH_INTERVAL or not _KEY_ID.fullmatch(key_id):
            raise SignatureRejected("unknown_key")
        raise KeyNeeded(self.request(self.scope, now))

    def request(self, name: str, now: float) -> KeyRequest:
        """See :meth:`FetchedKeys.request`: there is one address, which nobody but the adapter chooses."""
        return KeyRequest(self.scope, is_known=True)

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """See :meth:`FetchedKeys.learn`."""
        self._take(content, _Fetch(now))

    def due(self, now: float) -> list[str]:
        """See :meth:`FetchedKeys.due`."""
        return [self.scope] if self._fetch and self._fetch.is_due(now) else []

    def kept(self) -> list[KeptKey]:
        """See :meth:`FetchedKeys.kept`."""
        return [KeptKey(self.scope, self._content, self._fetch.fetched_at)] if self._fetch else []

    def restore(self, key: KeptKey, now: float) -> None:
        """See :meth:`FetchedKeys.restore`."""
        if self._fetch is None or self._fetch.fetched_at < key.fetched_at:
            self._take(key.content, _Fetch(key.fetched_at))

    def _take(self, content: bytes, fetch: _Fetch) -> None:
        document = orjson.loads(content)
        members = document.get("keys") if isinstance(document, dict) else None
        keys = _read_keys(members if isinstance(members, list) else [])
        if not keys:
            raise ValueError("there is no key in the set")
        self._keys, self._content, self._fetch = keys, content, fetch
        self.version += 1


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
