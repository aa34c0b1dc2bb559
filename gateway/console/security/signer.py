"""Texts that the console signs and gets back unchanged: cursors, and the tokens of forms."""

from __future__ import annotations

import base64
import binascii
import hmac

_MAC_SIZE = 16
"""Bytes of the HMAC-SHA256 that are kept: 128 bits, which nobody guesses."""


class Signer:
    """Signs texts with a key that outlives the process.

    Args:
        key: 32 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, purpose: str, content: bytes) -> str:
        """Return ``content`` with its signature, in base64url. It is valid for this purpose only."""
        return base64.urlsafe_b64encode(self._mac(purpose, content) + content).decode().rstrip("=")

    def open(self, purpose: str, text: str) -> bytes | None:
        """Return the content that was signed for this purpose; None if this was not."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, content = raw[:_MAC_SIZE], raw[_MAC_SIZE:]
        return content if hmac.compare_digest(mac, self._mac(purpose, content)) else None

    def _mac(self, purpose: str, content: bytes) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\0" + content, "sha256")[:_MAC_SIZE]
