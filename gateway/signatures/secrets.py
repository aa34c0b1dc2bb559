"""How the text of a configured secret becomes the bytes of a key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import unicodedata
from contextlib import suppress
from typing import Literal, NamedTuple

SecretFormat = Literal["raw", "base64", "hex", "whsec_", "sha1", "nfkd"]
"""``raw``: the text itself; ``base64`` and ``hex``: decoded; ``whsec_``: base64 after that optional prefix, with or
without a ``v1,`` before it; ``sha1``: the SHA-1 digest of the text; ``nfkd``: the text in that Unicode form."""

MAX_SECRETS = 5
"""The most secrets that one provider can have at a time: a request is checked against each of them."""


class SecretPair(NamedTuple):
    """A secret as its two sides hold it: equal, unless it is a key pair.

    Attributes:
        sender: the text that the sender signs with.
        receiver: the text that is configured here.
    """

    sender: str
    receiver: str


class SecretFormatError(ValueError):
    """A secret is not in the format that its adapter expects. Never says what the secret is.

    It is raised without a cause, because a UnicodeError holds the whole text that it is about.
    """


def decode_secret(secret: str, secret_format: SecretFormat) -> bytes:
    """The bytes of the key.

    Raises:
        SecretFormatError: the text is not in the format, or the key would be empty: an empty key makes
            valid signatures that anybody can compute.
    """
    match secret_format:
        case "raw":
            key = _encode(secret)
        case "hex":
            key = _decode_hex(secret)
        case "base64":
            key = decode_base64(secret)
        case "whsec_":
            key = decode_base64(secret.removeprefix("v1,").removeprefix("whsec_"))
        case "sha1":
            key = hashlib.sha1(_encode(secret), usedforsecurity=False).digest() if secret else b""
        case "nfkd":
            key = _encode(unicodedata.normalize("NFKD", secret))
    if not key:
        raise SecretFormatError("is empty")
    return key


def decode_base64(text: str) -> bytes:
    """The bytes of standard base64, with or without its padding.

    Raises:
        SecretFormatError: the text is not base64.
    """
    with suppress(ValueError):
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    raise SecretFormatError("is not base64")


def _encode(text: str) -> bytes:
    with suppress(UnicodeEncodeError):
        return text.encode()
    raise SecretFormatError("is not text that UTF-8 can hold")


def _decode_hex(text: str) -> bytes:
    with suppress(ValueError):
        return binascii.unhexlify(text)
    raise SecretFormatError("is not hexadecimal")
