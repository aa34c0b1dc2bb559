"""Text encodings of digests and signatures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Literal

from gateway.signatures.rejections import SignatureRejected

_MAX_SIGNATURE_BYTES = 4096
"""Bytes of an encoded signature. One with an RSA key of 8192 bits has 1368."""

Encoding = Literal["hex", "base64", "base64url", "base64url-unpadded"]

ENCODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    "hex": binascii.hexlify,
    "base64": base64.b64encode,
    "base64url": base64.urlsafe_b64encode,
    "base64url-unpadded": lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}
_DECODERS: dict[Encoding, Callable[[bytes], bytes]] = {
    "hex": binascii.unhexlify,
    "base64": base64.b64decode,
    "base64url": base64.urlsafe_b64decode,
    "base64url-unpadded": lambda text: base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)),
}


def decode_signature(text: bytes, encoding: Encoding = "base64") -> bytes:
    """Decode a signature. Of the spellings that a decoder accepts for the same bytes only the canonical one passes.

    Raises:
        SignatureRejected: The text is empty, too long, or not the canonical spelling.
    """
    if len(text) > _MAX_SIGNATURE_BYTES:
        raise SignatureRejected("signature_malformed")
    text = text.lower() if encoding == "hex" else text
    try:
        signature = _DECODERS[encoding](text)
    except ValueError:
        signature = b""
    if not signature or ENCODERS[encoding](signature) != text:
        raise SignatureRejected("signature_malformed")
    return signature
