"""Signatures of requests to endpoints: Standard Webhooks, and the timestamp scheme that Stripe made common.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.outbound.models import Secret, SignatureKind
from gateway.signatures.schemes.keyed_digest import KeyedDigest, prepare_hmac
from gateway.signatures.schemes.standard_signing import (
    private_key,
    sign_v1,
    sign_v1a,
    signed_message,
)
from gateway.signatures.secrets import MAX_SECRETS, SecretFormat, decode_secret

HAS_V1A = frozenset({SignatureKind.ED25519, SignatureKind.ED25519_ONLY})
"""The signatures that are made with a private key."""


class Unsignable(Exception):
    """Raised when there is nothing to sign with: no secret, or none that has not expired."""


class Signer:
    """Signs the requests to one endpoint.

    Args:
        kind: How.
        secrets: Its secrets, newest first.
        seed: Its Ed25519 seed of 32 bytes; empty if the kind needs none.

    Raises:
        SecretFormatError: A secret is not in the format of the kind.
        ValueError: The kind needs a seed, and it does not have 32 bytes.
    """

    def __init__(self, kind: SignatureKind, secrets: Sequence[Secret], seed: bytes = b"") -> None:
        self._kind = kind
        self._private_key = private_key(seed) if kind in HAS_V1A else None
        secret_format: SecretFormat = "raw" if kind == SignatureKind.TIMESTAMP else "whsec_"
        needed = () if kind == SignatureKind.ED25519_ONLY else secrets
        self._keys = [
            (prepare_hmac(decode_secret(each.value, secret_format), "sha256"), each.expires_at)
            for each in needed
        ]

    def sign(self, message_id: str, now: float, body: bytes) -> dict[str, str]:
        """Return the header fields that prove who sent a request.

        Args:
            message_id: The message's id, which has no full stop.
            now: The moment of the attempt, in Unix seconds.
            body: The body.

        Raises:
            Unsignable: All secrets have expired, or there are none.
        """
        moment = str(int(now))
        keys = [key for key, expires_at in self._keys if expires_at is None or expires_at > now]
        if self._kind == SignatureKind.TIMESTAMP:
            return self._sign_timestamp(keys[:MAX_SECRETS], message_id, moment, body)
        message = signed_message(message_id.encode(), moment.encode(), body)
        signatures = [sign_v1(key, message) for key in keys[:MAX_SECRETS]]
        if self._private_key:
            signatures.append(sign_v1a(self._private_key, message))
        if not signatures:
            raise Unsignable
        return {
            "webhook-id": message_id,
            "webhook-timestamp": moment,
            "webhook-signature": " ".join(signatures),
        }

    def _sign_timestamp(
        self, keys: Sequence[KeyedDigest], message_id: str, moment: str, body: bytes
    ) -> dict[str, str]:
        if not keys:
            raise Unsignable
        signatures = [f"v1={key((moment.encode(), b'.', body)).hex()}" for key in keys]
        return {
            "x-webhook-id": message_id,
            "x-webhook-signature": ",".join([f"t={moment}", *signatures]),
        }
