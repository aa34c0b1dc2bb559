"""Handshakes that need more than an answer: an address to fetch, or a secret to keep.

Both come from a request that the adapter has checked: :mod:`gateway.adapters.handshake_replies` answers all others.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from http import HTTPStatus
from pathlib import Path

import structlog

from gateway.errors import ConfirmationFailed
from gateway.signatures.rejections import HandshakeRefused
from gateway.transport.https import FetchFailed, fetch, open_client
from gateway.transport.private_files import make_private_folder

log = structlog.get_logger()


class SubscriptionConfirmer:
    """Confirms subscriptions by fetching the address that a verified handshake names.

    It fetches one address at a time: there are few, and nobody may make the gateway fetch many.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def confirm(self, url: str) -> None:
        """Fetch ``url``, whose host the adapter has pinned.

        Raises:
            ConfirmationFailed: the response is not a 200; the provider should send the handshake again.
        """
        async with self._turn, open_client() as client:
            try:
                status = (await fetch(client, url)).status
            except FetchFailed as error:
                raise ConfirmationFailed(str(error)) from error
        if status != HTTPStatus.OK:
            raise ConfirmationFailed(f"answers {status}")


class Enrolment:
    """Keeps the secret that a provider sends in a handshake, for the operator to configure.

    The first caller could plant a secret of its own. So one is kept only while the operator has set ``enrol: true``,
    none replaces another, and none is used from here: the operator sees it before anything is trusted.

    Args:
        folder: the folder of these secrets, one file for each provider.
        provider: the provider's name.
    """

    def __init__(self, folder: Path, provider: str) -> None:
        self._path = folder / provider
        self._provider = provider

    def keep(self, secret: str) -> None:
        """Write the secret to a file unless one is there; the same secret again is no error.

        Raises:
            HandshakeRefused: another secret was kept before.
            OSError: the file cannot be written.
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
        log.warning("secret enrolled", provider=self._provider, file=str(self._path))
