"""Secrets of endpoints: made here, or brought along and then checked."""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from itertools import pairwise
from math import log2

from gateway.outbound.models import SignatureKind
from gateway.signatures.schemes.standard_signing import SEED_BYTES, private_key
from gateway.signatures.secrets import SecretFormatError, decode_base64

_PREFIX = "whsec_"
_KEY_BYTES = 32
_MIN_BYTES, _MAX_BYTES = 24, 64
_MIN_TEXT, _MAX_TEXT = 24, 256

_MIN_BITS = 90.0
"""The least entropy of a secret in bits, as estimated from its bytes. 24 random bytes have more than 100."""


def make_secret() -> str:
    """Return a new secret of 32 random bytes, as Standard Webhooks writes them."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def make_seed() -> bytes:
    """Return the seed of a new Ed25519 key."""
    return secrets.token_bytes(SEED_BYTES)


def public_key_of(seed: bytes) -> str:
    """Return the public key that receivers verify with, as Standard Webhooks writes it (`whpk_…`)."""
    return "whpk_" + base64.b64encode(private_key(seed).public_key().public_bytes_raw()).decode()


def check_secret(secret: str, kind: SignatureKind) -> None:
    """Check a secret that somebody brought along.

    Raises:
        SecretFormatError: It is not in the format of the kind, too short or long, or easy to guess. The text does not quote it.
    """
    key = _checked_text(secret) if kind == SignatureKind.TIMESTAMP else _checked_key(secret)
    # Also of the differences, or counting upwards would pass for random.
    steps = bytes((after - before) % 256 for before, after in pairwise(key))
    if min(_entropy(key), _entropy(steps)) < _MIN_BITS:
        raise SecretFormatError("is easy to guess, since it repeats itself; leave it out, and one is made")


def _checked_text(secret: str) -> bytes:
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise SecretFormatError("has a character other than printable ASCII")
    if not _MIN_TEXT <= len(secret) <= _MAX_TEXT:
        raise SecretFormatError(f"does not have {_MIN_TEXT} to {_MAX_TEXT} characters")
    return secret.encode()


def _checked_key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        raise SecretFormatError(f"does not begin with {_PREFIX}")
    key = decode_base64(secret.removeprefix(_PREFIX))
    if not _MIN_BYTES <= len(key) <= _MAX_BYTES:
        raise SecretFormatError(f"does not have {_MIN_BYTES} to {_MAX_BYTES} bytes")
    return key


def _entropy(data: bytes) -> float:
    """Return Shannon's entropy of bytes in bits, by how often each of them occurs."""
    size = len(data)
    return -sum(count * log2(count / size) for count in Counter(data).values())
