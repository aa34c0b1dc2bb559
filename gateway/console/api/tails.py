"""Live tails: one follower reads the journal for all of them.

Four times a second the follower reads what has arrived since. Tails with the same query share a group, whose entries are
matched once and written as messages once: of at most 50 entries each, and at most ten a second. What is beyond that is
counted: the newest entries are shown, and the first message says how many are missing before it. A tail that cannot keep
up is ended; it can go on at its cursor.

A tail that begins at a cursor reads the journal by itself first, up to where the follower was when it joined, while the
messages of its group wait. Its last page may reach further: what is in it is left out of the messages that waited.

The module has more than 200 lines because joining a tail depends on how the follower hands out entries.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress

import structlog

from gateway.console.api.tail_messages import Batch, Place, Rows
from gateway.console.security.signer import Signer
from gateway.journal import Journal
from gateway.journal.entry import Entry
from gateway.journal.matching import is_match
from gateway.journal.query import Query

MAX_TAILS = 100
"""Tails at a time; each holds a connection and, if it is slow, some messages."""

MAX_ROWS = 50
"""Entries of a message."""

MAX_MESSAGES = 10
"""Messages a second for a tail. The journal fills in bursts, so that all of them may come at once."""

INTERVAL = 0.25
"""Seconds between two readings of the journal."""

HEARTBEAT_INTERVAL = 15.0
"""Seconds without a message after which :meth:`Tail.batches` yields an empty one."""

_MAX_CATCH_UP = 2000
"""Entries that such a tail reads. What else it has missed it finds in the list."""

_MAX_READ = 5000
"""Entries that the follower reads at a time."""

_MAX_WAITING = 100
"""Messages that wait for a slow tail: those of ten seconds, or some 2 MB."""

_RETRY_DELAY = 2.0
"""Seconds until the journal is read again after it could not be."""

_EVERYTHING = Query()

log = structlog.get_logger()


class Tail:
    """One tail.

    Attributes:
        place: Where it goes on behind what it has been given.
        is_slow: Whether it was ended because it did not keep up.
    """

    def __init__(self, tails: Tails, group: Group, place: Place, *, is_resumed: bool) -> None:
        self.group = group
        self.place = place
        self.is_slow = False
        self._tails = tails
        self._is_resumed = is_resumed
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
        if self._is_resumed:
            async for batch in self._catch_up():
                seen.update(entry.id for entry in batch.entries)
                self.place = batch.place
                yield batch
                await asyncio.sleep(1 / MAX_MESSAGES)
        reached = self.place.position
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
                is_overlapping = batch.place.position <= reached
                batch = batch.without(seen)
                if not is_overlapping:
                    seen = set()
                if not batch.entries:  # what is missing before it has been told as well
                    continue
            self.place = batch.place
            yield batch

    async def _catch_up(self) -> AsyncIterator[Batch]:
        goal, position, told = self._tails.position, *self.place
        count = 0
        while position < goal:
            if count >= _MAX_CATCH_UP:
                yield self.group.batch([], 0, Place(goal), is_gap=True)
                return
            # A message at a time: within a page there is no position to go on at.
            limit = min(told, _MAX_READ) or MAX_ROWS
            arrivals = await asyncio.to_thread(self._tails.journal.follow, self.group.query, position, limit)
            if arrivals.position == position:
                return
            position = arrivals.position
            if told:
                told = max(told - len(arrivals.entries), 0)
            elif arrivals.entries:
                count += len(arrivals.entries)
                yield self.group.batch(arrivals.entries, 0, Place(position))


class Group:
    """The tails with one query.

    Args:
        text: The query as it was written.
        query: The query.
        signer: Signs the cursors.

    Attributes:
        query: As above.
        tails: The tails.
    """

    def __init__(self, text: str, query: Query, signer: Signer) -> None:
        self.text = text
        self.query = query
        self.tails: set[Tail] = set()
        self._signer = signer
        self._budget = float(MAX_MESSAGES)
        self._filled_at = time.monotonic()

    def batch(
        self,
        entries: Sequence[Entry],
        more: int,
        place: Place,
        rows: Rows | None = None,
        *,
        is_gap: bool = False,
    ) -> Batch:
        """Return what a message of this group says."""
        return Batch(
            entries, more, place, self.text, self._signer, {} if rows is None else rows, is_gap=is_gap
        )

    def hand_out(self, entries: Sequence[Entry], before: int, after: int, rows: Rows) -> None:
        """Hand the entries between two positions of the journal to the tails."""
        matched = (
            entries if self.query == _EVERYTHING else [each for each in entries if is_match(self.query, each)]
        )
        messages = -(-len(matched) // MAX_ROWS)
        first = max(messages - self._messages(messages), 0) * MAX_ROWS
        more = min(first, len(matched))
        for start in range(first, len(matched), MAX_ROWS):
            end = min(start + MAX_ROWS, len(matched))
            place = Place(after) if end == len(matched) else Place(before, end)
            batch = self.batch(matched[start:end], more, place, rows)
            more = 0
            for tail in self.tails:
                tail.put(batch)

    def _messages(self, wanted: int) -> int:
        """Take as many messages as wanted from what is allowed; at least one, which says how many are missing."""
        now = time.monotonic()
        self._budget = min(self._budget + (now - self._filled_at) * MAX_MESSAGES, float(MAX_MESSAGES))
        self._filled_at = now
        taken = max(min(wanted, int(self._budget)), 1)
        self._budget -= min(taken, wanted)
        return taken


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
        self._groups: dict[str, Group] = {}
        self._count = 0
        self._follower: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def join(self, text: str, query: Query, cursor: str = "") -> Tail | None:
        """Begin a tail at a cursor, or at the end of the journal; return None if there are too many.

        Args:
            text: The query as it was written.
            query: The query.
            cursor: The cursor; empty for the end of the journal.

        Raises:
            Problem: The cursor is not one of this query.
            OSError: The journal cannot be read.
        """
        place = Place.parse(self.signer, text, cursor) if cursor else None
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
        group = self._groups.setdefault(text, Group(text, query, self.signer))
        tail = Tail(self, group, place or Place(self.position), is_resumed=place is not None)
        group.tails.add(tail)
        return tail

    async def leave(self, tail: Tail) -> None:
        """End a tail; the follower ends with the last one."""
        if tail in tail.group.tails:
            tail.group.tails.remove(tail)
            self._count -= 1
        if not tail.group.tails and self._groups.get(tail.group.text) is tail.group:
            del self._groups[tail.group.text]
        if not self._groups and self._follower:
            follower, self._follower = self._follower, None
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower

    async def _follow(self) -> None:
        is_failing = False
        while True:
            before = self.position
            try:
                arrivals = await asyncio.to_thread(self.journal.follow, _EVERYTHING, before, _MAX_READ)
            except OSError as error:
                if not is_failing:
                    log.warning("journal cannot be followed", error=str(error))
                is_failing = True
                await asyncio.sleep(_RETRY_DELAY)
                continue
            is_failing = False
            self.position = arrivals.position
            if arrivals.entries:
                rows: Rows = {}
                for group in self._groups.values():
                    group.hand_out(arrivals.entries, before, arrivals.position, rows)
            if len(arrivals.entries) < _MAX_READ:
                await asyncio.sleep(INTERVAL)
