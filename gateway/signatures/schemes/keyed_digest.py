"""HMAC (RFC 2104) with a key that is prepared once.

Ours and not :func:`hmac.digest`, which expands the key anew for each message: 2.2 instead of 3.1 microseconds for a body
of 2.6 KB (2026-11-30). Messages come in pieces, so that a body is never copied to put a timestamp before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

KeyedDigest = Callable[[Iterable[bytes]], bytes]
"""A function that returns the digest of a message in pieces. It keeps no state, so that any thread may call it."""

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def prepare_hmac(key: bytes, algorithm: str) -> KeyedDigest:
    """Return a function that computes HMACs with ``key``."""
    block_size = hashlib.new(algorithm).block_size
    if len(key) > block_size:
        key = hashlib.new(algorithm, key).digest()
    padded = key.ljust(block_size, b"\0")
    keyed_inner = hashlib.new(algorithm, padded.translate(_INNER_PAD))
    keyed_outer = hashlib.new(algorithm, padded.translate(_OUTER_PAD))

    def digest(pieces: Iterable[bytes]) -> bytes:
        inner, outer = keyed_inner.copy(), keyed_outer.copy()
        for piece in pieces:
            inner.update(piece)
        outer.update(inner.digest())
        return outer.digest()

    return digest
