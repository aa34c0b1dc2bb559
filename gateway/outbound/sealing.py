"""Encryption of what endpoints keep secret: AES-256-GCM, with keys that can be changed.

A sealed value is a version, the first bytes of SHA-256 of the key, a nonce, and the ciphertext with its tag. What it belongs
to is associated data, so that it opens nowhere else. See https://www.rfc-editor.org/rfc/rfc5116.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import OperatorError
from gateway.transport.private_files import make_private, make_private_folder, private_opener

KEY_SIZE = 32
"""Bytes of a key."""

FILE_NAME = "outbound.keys"
"""The file in the data directory with the keys, unless the configuration has them: base64, one a line, the newest first."""

_VERSION = b"\x01"
"""The first byte of a sealed value: how the rest is to be read."""

_NAME_SIZE = 4
"""Bytes that tell with which key a value was sealed."""

_NONCE_SIZE = 12
"""Bytes of a nonce, drawn anew for each value."""


class Sealer:
    """Seals with the newest key, and opens with any.

    Args:
        keys: Keys of 32 bytes, the newest first.

    Raises:
        OperatorError: There is no key, or one of another size.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_SIZE for key in keys):
            raise OperatorError(f"outbound.keys: each key needs {KEY_SIZE} bytes, and there has to be one")
        self._ciphers = {_name_of(key): AESGCM(key) for key in keys}
        self._newest = _name_of(keys[0])

    def seal(self, value: bytes, owner: str, name: str) -> bytes:
        """Encrypt a value of an owner."""
        nonce = os.urandom(_NONCE_SIZE)
        sealed = self._ciphers[self._newest].encrypt(nonce, value, _associated(owner, name))
        return b"".join((_VERSION, self._newest, nonce, sealed))

    def open(self, sealed: bytes, owner: str, name: str) -> bytes:
        """Decrypt a value of an owner.

        Raises:
            OperatorError: Its key is not there, or it was sealed for something else.
        """
        cipher = self._ciphers.get(_key_name(sealed))
        if cipher is None or sealed[:1] != _VERSION:
            raise OperatorError(
                f"{owner}: {name} was encrypted with a key that is not there; add the former key to outbound.keys"
            )
        head = len(_VERSION) + _NAME_SIZE
        nonce, rest = sealed[head : head + _NONCE_SIZE], sealed[head + _NONCE_SIZE :]
        try:
            return cipher.decrypt(nonce, rest, _associated(owner, name))
        except (InvalidTag, ValueError) as error:
            raise OperatorError(
                f"{owner}: {name} cannot be decrypted; it was changed in the database"
            ) from error

    def is_newest(self, sealed: bytes) -> bool:
        """Return whether a value was sealed with the newest key."""
        return sealed[:1] == _VERSION and _key_name(sealed) == self._newest


def keys_in(data_dir: Path) -> list[bytes]:
    """Return the keys in the data directory, the newest first; make the first one.

    Raises:
        OperatorError: The file has a line that is no key.
        OSError: The file cannot be read or made.
    """
    path = data_dir / FILE_NAME
    make_private_folder(data_dir)
    if not path.exists():
        draft = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
        with open(draft, "wb", opener=private_opener) as file:
            file.write(base64.b64encode(os.urandom(KEY_SIZE)) + b"\n")
            file.flush()
            os.fsync(file.fileno())  # a key that is lost makes all that it has sealed useless
        with suppress(FileExistsError):  # another process was faster
            path.hardlink_to(draft)
        draft.unlink()
    make_private(path)
    return [
        _key_of(line, f"{path}:{number}")
        for number, line in enumerate(path.read_text("ascii", "replace").split(), 1)
    ]


def _key_of(line: str, place: str) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_SIZE:
        raise OperatorError(f"{place}: this is no key; each line is the base64 of {KEY_SIZE} bytes")
    return key


def _name_of(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_NAME_SIZE]


def _key_name(sealed: bytes) -> bytes:
    return sealed[len(_VERSION) : len(_VERSION) + _NAME_SIZE]


def _associated(owner: str, name: str) -> bytes:
    return f"{owner}\n{name}".encode()
