"""The protocol of a connection to an endpoint: aiohttp's, with a bound on the head of a response."""

from __future__ import annotations

import asyncio

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from typing_extensions import override

MAX_HEAD = 16 * 1024
"""The longest head of a response in bytes, with the interim responses before it."""


class ExchangeProtocol(ResponseHandler):
    """Reads responses, one after another.

    Args:
        loop: The event loop.
        address: The address of the peer.

    Attributes:
        made_at: When the connection was made, in seconds of the loop's clock.
        exchanges: How many requests were begun on it.
        received: The bytes that came since the last of them.
        is_head_too_large: Whether the head of the response had more than :data:`MAX_HEAD` bytes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        super().__init__(loop)
        self.address = address
        self.made_at = loop.time()
        self.exchanges = 0
        self.received = 0
        self.is_head_too_large = False
        self._has_head = False

    def begin(self) -> None:
        """Begin a request."""
        self.exchanges += 1
        self.received = 0
        self._has_head = False

    @override
    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)
        if not self._has_head and self.received > MAX_HEAD:
            self._refuse_head()

    @override
    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        message = data[0]
        self._has_head = self._has_head or message.code >= 200 or message.code == 101
        # One piece of input can hold more than the bound, so that its end was there before it was counted.
        if sum(len(name) + len(value) + 4 for name, value in message.raw_headers) > MAX_HEAD:
            self._refuse_head()
            return
        super().feed_data(data, size)

    def _refuse_head(self) -> None:
        if not self.is_head_too_large:
            self.is_head_too_large = True
            self.set_exception(ValueError("the head of the response is too large"))
            if self.transport is not None:
                self.transport.abort()
