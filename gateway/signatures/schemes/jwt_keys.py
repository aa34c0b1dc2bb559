"""The keys that tokens are checked with: configured ones, or those that a sender publishes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.asymmetric import Check, load_public_key
from gateway.signatures.schemes.fetched_keys import FetchedKeys
from gateway.signatures.schemes.jws import HMACS, Token, check_with_key, check_with_secret
from gateway.signatures.schemes.key_cache import KeySet
from gateway.signatures.secrets import SecretFormatError, decode_secret

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey


class TokenKeys(Protocol):
    """The keys that the tokens of one sender may be signed with.

    Attributes:
        fetched: the cache of fetched keys; None if the keys are configured.
    """

    fetched: FetchedKeys | None

    def match(self, token: Token, now: float) -> int:
        """Return the slot of the secret that signed ``token``, or 0 if a fetched key did.

        Raises:
            SignatureRejected: No key signed the token.
            KeyNeeded: The key has to be fetched first.
        """


class SecretKeys(TokenKeys):
    """Configured keys: shared secrets if the algorithms are HMACs, otherwise public keys in PEM."""

    fetched = None

    def __init__(self, secrets: Sequence[str], algorithms: Collection[str]) -> None:
        self._slots = [_checks(secret, algorithms) for secret in secrets]

    @override
    def match(self, token: Token, now: float) -> int:
        matched = -1
        for slot in range(
            len(self._slots) - 1, -1, -1
        ):  # all of them, so that the time does not tell which one matched
            matches = self._slots[slot].get(token.algorithm)
            if matches and matches(token.signature, token.signed):
                matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        return matched


class PublishedKeys(TokenKeys):
    """The keys of a sender that publishes a JWK Set. Each token names its key."""

    def __init__(self, url: str) -> None:
        self.fetched = self._keys = KeySet(url)

    @override
    def match(self, token: Token, now: float) -> int:
        check_token(self._keys.get(token.key_id, now), token)
        return 0


def check_token(key: PublicKey, token: Token) -> None:
    """Check a token with the key that it names.

    Raises:
        SignatureRejected: The key did not sign the token, or does not fit its algorithm.
    """
    try:
        matches = check_with_key(key, token.algorithm)
    except SecretFormatError:
        raise SignatureRejected("signature_mismatch") from None
    if not matches(token.signature, token.signed):
        raise SignatureRejected("signature_mismatch")


def _checks(secret: str, algorithms: Collection[str]) -> dict[str, Check]:
    """Return the checks that a secret allows, by algorithm."""
    if not HMACS.keys().isdisjoint(algorithms):
        key = decode_secret(secret, "raw")
        return {algorithm: check_with_secret(key, algorithm) for algorithm in algorithms}
    public_key = load_public_key(secret, "pem")
    fitting = {}
    for algorithm in algorithms:
        try:
            fitting[algorithm] = check_with_key(public_key, algorithm)
        except SecretFormatError:  # a key for another algorithm of this sender
            continue
    if not fitting:
        raise SecretFormatError(f"is not a key for {' or '.join(algorithms)}")
    return fitting
