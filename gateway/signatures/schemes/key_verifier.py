"""Verify by public keys that are either pinned in the configuration or fetched from the sender."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.asymmetric import KeyAlgorithm, check_with, load_public_key
from gateway.signatures.schemes.base import Verifier
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeyRequest
from gateway.signatures.schemes.key_cache import NamedKeys
from gateway.signatures.secrets import SecretFormatError

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

_PEM = "-----BEGIN "


def is_pinned(secrets: Sequence[str]) -> bool:
    """Return whether the secrets are keys in PEM, which replace the fetched ones."""
    return any(secret.startswith(_PEM) for secret in secrets)


def credentials_of(secrets: Sequence[str]) -> tuple[str, str]:
    """Return the name and the password in the first secret. The others are checked only.

    Raises:
        SecretFormatError: A secret is not ``name:password``.
    """
    for secret in secrets:
        if not secret.isascii() or not secret.isprintable() or not all(secret.partition(":")):
            raise SecretFormatError("is neither a public key in PEM nor client_id:secret")
    name, _, password = secrets[0].partition(":")
    return name, password


def pinned_keys(secrets: Sequence[str], algorithm: KeyAlgorithm) -> list[PublicKey]:
    """Load the keys that are pinned in PEM. Return none if the keys are to be fetched.

    Raises:
        SecretFormatError: Some secrets are in PEM and some are not, or a key does not fit the algorithm.
    """
    if not is_pinned(secrets):
        return []
    keys = [load_public_key(secret, "pem") for secret in secrets]
    for key in keys:
        check_with(key, algorithm)
    return keys


def slot_of(keys: Sequence[PublicKey], algorithm: KeyAlgorithm, signature: bytes, message: bytes) -> int:
    """Return the position, from 0, of the key that signed ``message``.

    Raises:
        SignatureRejected: None of the keys signed it.
    """
    for slot, key in enumerate(keys):
        if check_with(key, algorithm)(signature, message):
            return slot
    raise SignatureRejected("signature_mismatch")


class FetchingVerifier(Verifier):
    """The part of a verifier that may fetch its keys. ``fetched`` is None if they are configured."""

    def __init__(self, fetched: FetchedKeys | None) -> None:
        self.fetched = fetched

    @override
    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        if self.fetched is None:
            raise ValueError(f"no key was requested, and none is accepted from {request.url}")
        self.fetched.learn(request, content, now)


class NamedKeyVerifier(FetchingVerifier):
    """A verifier for requests that name their key. Pinned keys replace the fetched ones, whatever the request names."""

    def __init__(self, pinned: Sequence[PublicKey], keys: NamedKeys) -> None:
        super().__init__(None if pinned else keys)
        self._pinned = pinned
        self._keys = keys

    def slot_of(
        self, name: str, algorithm: KeyAlgorithm, signature: bytes, message: bytes, now: float
    ) -> int:
        """Return the slot of the pinned key that signed ``message``, or 0 if the fetched key ``name`` did.

        Raises:
            SignatureRejected: No key signed the message, or no key of this sender has such a name.
            KeyNeeded: The key has to be fetched first.
        """
        if self._pinned:
            return slot_of(self._pinned, algorithm, signature, message)
        slot = slot_of([self._keys.get(name, now)], algorithm, signature, message)
        self._keys.note_proof(name)
        return slot
