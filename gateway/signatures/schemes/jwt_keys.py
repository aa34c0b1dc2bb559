"""Whose tokens count: the keys that are configured, or those that a sender publishes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.asymmetric import Check, load_public_key
from gateway.signatures.schemes.fetched_keys import FetchedKeys
from gateway.signatures.schemes.jws import HMACS, Token, check_with_key, check_with_secret
from gateway.signatures.schemes.key_cache import KeySet
from gateway.signatures.secrets import SecretFormatError, decode_secret

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey


class TokenKeys(Protocol):
    """The keys that the tokens of one sender may be signed with."""

    @property
    def fetched(self) -> FetchedKeys | None:
        """The keys where they are fetched; None where they are configured."""

    def match(self, token: Token, now: float) -> int:
        """The slot of the secret that signed ``token``; 0 for a key that was fetched.

        Raises:
            SignatureRejected: none did.
            KeyNeeded: the key has to be fetched first.
        """


class SecretKeys:
    """Configured keys: shared secrets where the algorithms are HMACs, else public keys in PEM."""

    fetched = None

    def __init__(self, secrets: Sequence[str], algorithms: Collection[str]) -> None:
        self._slots = [_checks(secret, algorithms) for secret in secrets]

    def match(self, token: Token, now: float) -> int:
        """See :meth:`TokenKeys.match`."""
        matched = -1
        for slot in range(len(self._slots) - 1, -1, -1):  # all of them, as HMAC does
            matches = self._slots[slot].get(token.algorithm)
            if matches and matches(token.signature, token.signed):
                matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        return matched


class PublishedKeys:
    """The keys at one address; tokens say which of them they are signed with."""

    def __init__(self, url: str) -> None:
        self.fetched = KeySet(url)

    def match(self, token: Token, now: float) -> int:
        """See :meth:`TokenKeys.match`."""
        check_token(self.fetched.get(token.key_id, now), token)
        return 0


def check_token(key: PublicKey, token: Token) -> None:
    """Check a token with the key that it named.

    Raises:
        SignatureRejected: the key did not sign it, or is not one for its algorithm.
    """
    try:
        matches = check_with_key(key, token.algorithm)
    except SecretFormatError:
        raise SignatureRejected("signature_mismatch") from None
    if not matches(token.signature, token.signed):
        raise SignatureRejected("signature_mismatch")


def _checks(secret: str, algorithms: Collection[str]) -> dict[str, Check]:
    """How tokens are checked with a secret, by the algorithms that it is for."""
    if not HMACS.keys().isdisjoint(algorithms):
        key = decode_secret(secret, "raw")
        return {algorithm: check_with_secret(key, algorithm) for algorithm in algorithms}
    public_key = load_public_key(secret, "pem")
    fitting = {}
    for algorithm in algorithms:
        try:
            fitting[algorithm] = check_with_key(public_key, algorithm)
        except SecretFormatError:  # of another algorithm of the sender's
            continue
    if not fitting:
        raise SecretFormatError(f"is not a key for {' or '.join(algorithms)}")
    return fitting
