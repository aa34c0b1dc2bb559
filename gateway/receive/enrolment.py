"""Secrets that senders tell in a handshake: written down once, for the operator to configure.

Whoever calls first could plant a secret of his own, so that one is only taken while the operator says ``enrol: true``,
and none takes the place of another. It is not used from here: a person has seen it before anything is believed.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import structlog

from gateway.signatures.rejections import HandshakeRefused
from gateway.transport.private_files import make_private_folder

log = structlog.get_logger()


class Enrolment:
    """The open window of one provider.

    Args:
        folder: the folder of the secrets, one file for each provider.
        provider: the provider's name.
    """

    def __init__(self, folder: Path, provider: str) -> None:
        self._path = folder / provider
        self._provider = provider

    def take(self, secret: str) -> None:
        """Write a secret down, if it is the first; a sender that repeats the very same is answered again.

        Raises:
            HandshakeRefused: another one was told before.
            OSError: it cannot be written.
        """
        make_private_folder(self._path.parent.parent)
        make_private_folder(self._path.parent)
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if not hmac.compare_digest(self._path.read_bytes(), secret.encode()):
                raise HandshakeRefused("enrolment_closed") from None
            return
        try:
            with open(file, "wb") as output:  # noqa: PTH123 -- of a descriptor
                output.write(secret.encode())
                output.flush()
                os.fsync(output.fileno())
        except OSError:
            self._path.unlink()
            raise
        log.warning("a secret was told", provider=self._provider, file=str(self._path))
