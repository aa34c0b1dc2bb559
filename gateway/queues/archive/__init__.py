"""Replay: events from the archive, delivered to one queue once more.

The archive has an event from the moment of its confirm; what was published before there was an archive, or is
older than it keeps events, cannot be replayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import NamedTuple, Protocol

from gateway.config import EMBEDDED, Config
from gateway.events.message import Message
from gateway.publishers import ARCHIVE_SUFFIX
from gateway.queues.archive.filter import Selection
from gateway.transport.embedded import Database

_BATCH = 100  # messages whose confirms are waited for together
_LARGEST_BATCH = 4 * 1024**2  # bytes, of which one message may be more


class NotThere(Exception):
    """There is no such archive, or no such queue."""


class Archived(NamedTuple):
    """A message in the archive, and its place there: a number that grows."""

    place: int
    message: Message


class Archive(Protocol):
    """An archive that is read, and the queues beside it.

    All methods raise OSError when the broker fails; its text is for people.
    """

    last: int
    """About the last place, as of when reading began."""

    def read(self, since: float) -> AsyncGenerator[Archived, None]:
        """What was archived from ``since`` (Unix seconds) until now, oldest first, and perhaps some before."""

    async def open_queue(self, queue: str) -> None:
        """Prepare to deliver to ``queue``.

        Raises:
            NotThere: there is no such queue.
        """

    def deliver(self, queue: str, message: Message) -> Awaitable[None]:
        """Done when ``message`` is in ``queue`` for good."""


def open_archive(config: Config) -> AbstractAsyncContextManager[Archive]:
    """The archive of the configured gateway.

    Raises:
        OSError: the broker cannot be reached.
        NotThere: there is no archive.
    """
    exchange = config.rabbitmq.exchange
    # Imported here: a replay needs one of them.
    if config.rabbitmq.url == EMBEDDED:
        from gateway.queues.archive.sqlite import open_log  # noqa: PLC0415

        return open_log(Database(config.data_dir))
    from gateway.queues.archive.rabbitmq import open_stream  # noqa: PLC0415

    return open_stream(config.rabbitmq.address, exchange + ARCHIVE_SUFFIX)


class Replay:
    """One run over the archive.

    Args:
        archive: where events come from.
        selection: which of them.
        deliver: where they go; what it raises ends the run.
        limit: how many at most.

    Attributes:
        first: the place of the first event that was read; None before.
        place: that of the last.
        read: events that were looked at.
        delivered: events that were selected and delivered.
    """

    def __init__(
        self,
        archive: Archive,
        selection: Selection,
        deliver: Callable[[Message], Awaitable[None]],
        limit: int | None = None,
    ) -> None:
        self.first: int | None = None
        self.place = self.read = self.delivered = 0
        self._archive = archive
        self._selection = selection
        self._deliver = deliver
        self._limit = limit

    async def run(self, on_progress: Callable[[], None] = lambda: None) -> None:
        """Deliver what is selected, in order; when cancelled, only what has not been begun is left undone."""
        batch: list[Message] = []
        async with aclosing(self._archive.read(self._selection.since)) as events:
            async for place, message in events:
                self.first = place if self.first is None else self.first
                self.place, self.read = place, self.read + 1
                if self._selection.takes(message):
                    batch.append(message)
                is_enough = self._limit is not None and self.delivered + len(batch) >= self._limit
                if (
                    is_enough
                    or self.read % _BATCH == 0
                    or sum(len(each.body) for each in batch) >= _LARGEST_BATCH
                ):
                    await self._flush(batch)
                    batch = []
                    on_progress()
                if is_enough:
                    return
        await self._flush(batch)
        on_progress()

    async def _flush(self, batch: list[Message]) -> None:
        deliveries = asyncio.gather(*(self._deliver(message) for message in batch), return_exceptions=True)
        try:
            await asyncio.shield(deliveries)
        finally:
            outcomes = await deliveries
            self.delivered += outcomes.count(None)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
