"""Live tails: one follower reads the journal for all of them.

Four times a second the follower reads what has arrived since. Tails with the same query share a group: its entries are
matched once and written as one message once. A message has at most 50 entries, the newest, and says how many more there
were. A tail that cannot keep up is ended with the cursor at which it can go on.

A tail that begins at a cursor reads the journal by itself first, up to where the follower was when it joined, while the
messages of its group wait. Its last page may reach further: what is in it is left out of the messages that waited.

The module has slightly more than 200 lines because joining a tail depends on how the follower hands out entries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress

import msgspec
import structlog

from gateway.console.api.cursors import make_cursor
from gateway.console.api.encoding import EntryView, view_of
from gateway.console.security.signer import Signer
from gateway.journal import Journal
from gateway.journal.entry import Entry
from gateway.journal.matching import is_match
from gateway.journal.query import Query

LIST_NAME = "/tail"
"""What the cursors are for, and the path of the operation."""

MAX_TAILS = 100
"""Tails at a time; each holds a connection and, if it is slow, some messages."""

MAX_ROWS = 50
"""Entries of a message."""

INTERVAL = 0.25
"""Seconds between two messages: more often nobody can read them."""

CATCH_UP_INTERVAL = 0.1
"""Seconds between two messages of a tail that has begun at a cursor."""

HEARTBEAT_INTERVAL = 15.0
"""Seconds without a message after which :meth:`Tail.batches` yields an empty one."""

_MAX_CATCH_UP = 2000
"""Entries that such a tail reads. What else it has missed it finds in the list."""

_MAX_READ = 5000
"""Entries that the follower reads at a time."""

_MAX_WAITING = 40
"""Messages that wait for a slow tail, ten seconds."""

_RETRY_DELAY = 2.0
"""Seconds until the journal is read again after it could not be."""

_EVERYTHING = Query()

log = structlog.get_logger()


class TailMessage(msgspec.Struct):
    """The data of an `entries` message.

    Attributes:
        entries: The newest entries since the message before, oldest first; at most 50.
        more: How many more there were.
        is_gap: Whether entries before these were left out, because the cursor was too old.
    """

    entries: list[EntryView]
    more: int
    is_gap: bool


class Batch:
    """What one message says.

    Args:
        entries: The entries, oldest first.
        more: How many more there were.
        position: The position in the journal behind them.
        signer: Signs the cursor.
        is_gap: Whether entries before them were skipped, whose number is not known.

    Attributes:
        entries: As above.
        more: As above.
        position: As above.
        is_gap: As above.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        more: int,
        position: int,
        signer: Signer,
        *,
        is_gap: bool = False,
    ) -> None:
        self.entries = entries
        self.more = more
        self.position = position
        self.is_gap = is_gap
        self._signer = signer
        self._encoded: bytes | None = None

    def encoded(self) -> bytes:
        """Return the message; it is made once for all tails that share it."""
        if self._encoded is None:
            data = TailMessage([view_of(entry) for entry in self.entries], self.more, self.is_gap)
            cursor = make_cursor(self._signer, LIST_NAME, self.position).encode()
            self._encoded = b"id: %b\nevent: entries\ndata: %b\n\n" % (cursor, msgspec.json.encode(data))
        return self._encoded

    def without(self, ids: set[int]) -> Batch:
        """Return the batch without some entries."""
        kept = [entry for entry in self.entries if entry.id not in ids]
        return Batch(kept, self.more, self.position, self._signer, is_gap=self.is_gap)


class Tail:
    """One tail.

    Attributes:
        is_slow: Whether it was ended because it did not keep up.
        position: The position behind what it has been given.
    """

    def __init__(self, tails: Tails, query: Query, position: int | None) -> None:
        self._tails = tails
        self.query = query
        self._begins_at = position
        self.position = 0
        self.is_slow = False
        self._waiting: deque[Batch] = deque()
        self._has_news = asyncio.Event()

    def put(self, batch: Batch) -> None:
        """Hand a batch to the tail; end it if too many wait."""
        if len(self._waiting) >= _MAX_WAITING:
            self.is_slow = True
        else:
            self._waiting.append(batch)
        self._has_news.set()

    async def batches(self) -> AsyncGenerator[Batch | None]:
        """Yield batches; None after a time without one. Ends if the tail is too slow."""
        seen: set[int] = set()
        reached = 0
        if self._begins_at is not None:
            async for batch in self._catch_up(self._begins_at):
                self.position = reached = batch.position
                seen = {entry.id for entry in batch.entries} | seen
                yield batch
                await asyncio.sleep(CATCH_UP_INTERVAL)
        while not self.is_slow:
            if not self._waiting:
                self._has_news.clear()
                try:
                    await asyncio.wait_for(self._has_news.wait(), HEARTBEAT_INTERVAL)
                except TimeoutError:
                    yield None
                continue
            batch = self._waiting.popleft()
            if seen:
                passed = batch.position >= reached
                batch = batch.without(seen)
                if passed:
                    seen = set()
                if not batch.entries and not batch.more:
                    continue
            self.position = batch.position
            yield batch

    async def _catch_up(self, position: int) -> AsyncIterator[Batch]:
        goal, count = self._tails.position, 0
        while position < goal:
            if count >= _MAX_CATCH_UP:
                yield Batch([], 0, goal, self._tails.signer, is_gap=True)
                return
            # A message at a time: within a page there is no position to go on at.
            arrivals = await asyncio.to_thread(self._tails.journal.follow, self.query, position, MAX_ROWS)
            if arrivals.position == position:
                return
            position = arrivals.position
            count += len(arrivals.entries)
            if arrivals.entries:
                yield Batch(arrivals.entries, 0, position, self._tails.signer)


class Tails:
    """All tails, and the follower, which runs while there are any.

    Args:
        journal: The journal.
        signer: Signs the cursors.

    Attributes:
        position: How far the follower has read.
    """

    def __init__(self, journal: Journal, signer: Signer) -> None:
        self.journal = journal
        self.signer = signer
        self.position = 0
        self._groups: dict[Query, set[Tail]] = {}
        self._count = 0
        self._follower: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def join(self, query: Query, position: int | None) -> Tail | None:
        """Begin a tail at a position, or at the end of the journal; return None if there are too many.

        Raises:
            OSError: The journal cannot be read.
        """
        if self._count >= MAX_TAILS:
            return None
        self._count += 1
        try:
            async with self._starting:
                if self._follower is None:
                    self.position = await asyncio.to_thread(self.journal.position)
                    self._follower = asyncio.create_task(self._follow(), name="tails")
        except BaseException:
            self._count -= 1
            raise
        tail = Tail(self, query, position)
        tail.position = self.position if position is None else position
        self._groups.setdefault(query, set()).add(tail)
        return tail

    async def leave(self, tail: Tail) -> None:
        """End a tail; the follower ends with the last one."""
        group = self._groups.get(tail.query, set())
        if tail in group:
            group.remove(tail)
            self._count -= 1
        if not group:
            self._groups.pop(tail.query, None)
        if not self._groups and self._follower:
            follower, self._follower = self._follower, None
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower

    async def _follow(self) -> None:
        is_failing = False
        while True:
            try:
                arrivals = await asyncio.to_thread(self.journal.follow, _EVERYTHING, self.position, _MAX_READ)
            except OSError as error:
                if not is_failing:
                    log.warning("journal cannot be followed", error=str(error))
                is_failing = True
                await asyncio.sleep(_RETRY_DELAY)
                continue
            is_failing = False
            self.position = arrivals.position
            if arrivals.entries:
                self._hand_out(arrivals.entries)
            if len(arrivals.entries) < _MAX_READ:
                await asyncio.sleep(INTERVAL)

    def _hand_out(self, entries: Sequence[Entry]) -> None:
        for query, tails in self._groups.items():
            matched = entries if query == _EVERYTHING else [each for each in entries if is_match(query, each)]
            if matched:
                rows = matched[-MAX_ROWS:]
                batch = Batch(rows, len(matched) - len(rows), self.position, self.signer)
                for tail in tails:
                    tail.put(batch)


_EVERYTHING = Query()
