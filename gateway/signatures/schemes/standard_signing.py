"""What a sender of Standard Webhooks computes: the signed message, and its signatures.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gateway.signatures.schemes.keyed_digest import KeyedDigest

SEED_BYTES = 32
"""The length of an Ed25519 seed, and of a public key."""


def signed_message(message_id: bytes, moment: bytes, body: bytes) -> bytes:
    """Return the bytes that are signed. An id with a full stop would make them ambiguous."""
    return b"%b.%b.%b" % (message_id, moment, body)


def sign_v1(digest: KeyedDigest, message: bytes) -> str:
    """Return the HMAC-SHA256 of a message, as an element of the signature header."""
    return f"v1,{base64.b64encode(digest((message,))).decode()}"


def sign_v1a(key: Ed25519PrivateKey, message: bytes) -> str:
    """Return the Ed25519 signature of a message, as an element of the signature header."""
    return f"v1a,{base64.b64encode(key.sign(message)).decode()}"


def private_key(seed: bytes) -> Ed25519PrivateKey:
    """Return the private key of a seed of 32 bytes.

    Raises:
        ValueError: The seed has another length.
    """
    # Imported here, since it adds about 10 MB of resident memory that only v1a needs.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    return Ed25519PrivateKey.from_private_bytes(seed)
