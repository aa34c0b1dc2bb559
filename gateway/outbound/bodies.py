"""Messages in memory: an event for a thousand endpoints is read once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from gateway.outbound.models import OutboundMessage
from gateway.outbound.store import Store

MAX_SIZE = 32 * 1024**2
"""Bytes of bodies that are kept; those that were used longest ago go first."""

_OVERHEAD = 1024
"""Bytes that a message takes beside its body."""


class Bodies:
    """The messages that were used last.

    Args:
        store: Has all of them.
        max_size: Bytes that are kept.
    """

    def __init__(self, store: Store, max_size: int = MAX_SIZE) -> None:
        self._store = store
        self._max_size = max_size
        self._messages: OrderedDict[str, OutboundMessage] = OrderedDict()
        self._size = 0

    def put(self, message: OutboundMessage) -> None:
        """Keep a message."""
        if message.id in self._messages:
            return
        self._messages[message.id] = message
        self._size += _size_of(message)
        while self._size > self._max_size and len(self._messages) > 1:
            _, oldest = self._messages.popitem(last=False)
            self._size -= _size_of(oldest)

    async def get(self, message: str) -> OutboundMessage | None:
        """Return a message, None if it is gone.

        Raises:
            StoreUnavailable: It could not be read.
        """
        if found := self._messages.get(message):
            self._messages.move_to_end(message)
            return found
        await self.fetch([message])
        return self._messages.get(message)

    async def fetch(self, ids: Iterable[str]) -> None:
        """Read messages that are not in memory, all at once.

        Raises:
            StoreUnavailable: They could not be read.
        """
        missing = [each for each in dict.fromkeys(ids) if each not in self._messages]
        if missing:
            for message in (await self._store.messages(missing)).values():
                self.put(message)


def _size_of(message: OutboundMessage) -> int:
    return len(message.body or b"") + _OVERHEAD
