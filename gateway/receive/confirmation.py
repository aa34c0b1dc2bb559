"""Subscriptions that a sender has confirmed by fetching an address of its own, which a verified handshake names."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from gateway.errors import ConfirmationFailed
from gateway.transport.https import FetchFailed, fetch, open_client


class Confirmer:
    """Fetches such addresses, one at a time: there are few, and nobody shall have many fetched."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def confirm(self, url: str) -> None:
        """Fetch ``url``, whose host its adapter has pinned.

        Raises:
            ConfirmationFailed: it does not answer 200; the sender shall greet again.
        """
        async with self._turn, open_client() as client:
            try:
                status = (await fetch(client, url)).status
            except FetchFailed as error:
                raise ConfirmationFailed(str(error)) from error
        if status != HTTPStatus.OK:
            raise ConfirmationFailed(f"answers {status}")
