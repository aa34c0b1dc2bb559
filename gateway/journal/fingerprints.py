"""Fingerprints of secrets: they tell which secret a provider uses, and reveal nothing of it.

The position of a secret moves when another one is added before it; its fingerprint does not. It is the beginning of an
HMAC under a random key, so that nobody can find a guessable secret by its fingerprint without the key, which stays in
the data directory.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from gateway.transport.private_files import make_private_folder, private_opener

KEY_FILE = "fingerprints.key"
"""The file of the key, in the folder of the journal."""

_KEY_SIZE = 32
"""Bytes of the key."""

_DIGITS = 8
"""Hexadecimal digits of a fingerprint: enough to tell the few secrets of a provider apart."""


class Fingerprints:
    """Makes the fingerprints of secrets. All processes that share a data directory make the same.

    Args:
        folder: The folder of the journal.

    Raises:
        OSError: The key can neither be read nor made.
    """

    def __init__(self, folder: Path) -> None:
        self._key = _key_in(folder)

    def of(self, secret: str) -> str:
        """Return the fingerprint of a secret."""
        return hmac.digest(self._key, secret.encode(errors="surrogatepass"), "sha256").hex()[:_DIGITS]


def _key_in(folder: Path) -> bytes:
    path = folder / KEY_FILE
    key = _read(path)
    if key is not None:
        return key
    make_private_folder(folder)
    # Complete before it has its name: another process that starts at the same time reads a whole key, or makes its own
    # and finds this one in its place.
    draft = folder / f"{KEY_FILE}.{secrets.token_hex(8)}"
    try:
        with open(draft, "wb", opener=private_opener) as file:
            file.write(secrets.token_bytes(_KEY_SIZE))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    if (key := _read(path)) is None:
        raise OSError(f"{path} is no key of {_KEY_SIZE} bytes; delete it, and fingerprints begin anew")
    return key


def _read(path: Path) -> bytes | None:
    """Return the key; None if the file is missing or holds none."""
    with suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) == _KEY_SIZE:
            return key
    return None
