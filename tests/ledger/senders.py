"""The senders: connections with one attempt at a time each, and the schedule of retries."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from heapq import heappop, heappush

from ledger.book import Book, Ending
from ledger.events import Events

_MAX_OPEN = 5_000
"""Events that may be open: more would only prolong the time after an outage."""

_LOOK_AGAIN_AFTER = 0.02
_AFTER_NO_CONNECTION = 0.1
_HURRY = 0.3
_ENDINGS = {b"accepted": Ending.ACCEPTED, b"quarantined": Ending.QUARANTINED, b"duplicate": Ending.DUPLICATE}


class _Connection:
    """A connection to the gateway that is kept alive, and opened again when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)

    async def exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request and return the head and the body of its answer."""
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        body = await reader.readexactly(int(lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]))
        if b"\r\nconnection: close" in lower:
            await self.close()
        return head, body

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


class Senders:
    """Sends new events until it is stopped, each as often as its provider would.

    Args:
        events: what is sent.
        book: what takes note.
        port: of the gateway.
        connections: how many at once.
        rate: new events a second; 0 for as many as go.
        compression: by how much the time between attempts is shortened.
        patience: the share of its provider's patience that a sender has.
        seed: of the jitter between attempts.

    Attributes:
        is_calm: whether no fault has happened yet.
        shortest_patience: seconds that no sender waits longer than, where the nemesis wants it.
    """

    def __init__(
        self,
        events: Events,
        book: Book,
        port: int,
        *,
        connections: int,
        rate: float,
        compression: float,
        patience: float,
        seed: int,
    ) -> None:
        self._events = events
        self._book = book
        self._port = port
        self._connections = connections
        self._rate = rate
        self._compression = compression
        self._patience = patience
        self._dice = random.Random(f"{seed} senders")
        self._retries: list[tuple[float, int]] = []
        self._is_ending = False
        self._shortest_pause = 0.0
        self.is_calm = True
        self.shortest_patience: float | None = None

    async def run(self) -> None:
        """Send until `end` was called and no event is open."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._send())

    def end(self) -> None:
        """Begin no more events."""
        self._is_ending = True

    def hurry(self) -> None:
        """The next attempts are due at once, and those after them soon."""
        self._compression, self._shortest_pause = float("inf"), _HURRY
        self._retries = [(0.0, number) for _, number in self._retries]

    async def _send(self) -> None:
        connection = _Connection(self._port)
        try:
            while not (self._is_ending and self._book.open_events == 0):
                number = self._next()
                if number is None:
                    await asyncio.sleep(_LOOK_AGAIN_AFTER)
                    continue
                began = self._book.now()
                ending = await self._attempt(connection, number)
                self._book.attempted(number, began, ending)
                if not ending.is_success:
                    self._plan_retry(number)
                    if ending is Ending.NO_CONNECTION:
                        await asyncio.sleep(_AFTER_NO_CONNECTION)
        finally:
            await connection.close()

    def _next(self) -> int | None:
        now = self._book.now()
        if self._retries and self._retries[0][0] <= now:
            return heappop(self._retries)[1]
        is_due = not self._rate or self._book.events < self._rate * now
        if is_due and not self._is_ending and self._book.open_events < _MAX_OPEN:
            return self._book.begin(is_calm=self.is_calm)
        return None

    async def _attempt(self, connection: _Connection, number: int) -> Ending:
        patience, is_left = self._events.habits(number).patience * self._patience, False
        if self.shortest_patience is not None:
            patience, is_left = self.shortest_patience, True
        try:
            async with asyncio.timeout(patience):
                try:
                    await connection.open()
                except OSError:
                    return Ending.NO_CONNECTION
                try:
                    head, body = await connection.exchange(self._events.request(number))
                except (OSError, asyncio.IncompleteReadError):
                    await connection.close()
                    return Ending.CUT
        except TimeoutError:
            await connection.close()
            return Ending.LEFT if is_left else Ending.UNANSWERED
        return self._ending(head[9:12], body)

    def _ending(self, status: bytes, body: bytes) -> Ending:
        key = b'"reason":"' if b'"reason":"' in body else b'"status":"'
        word = body.partition(key)[2].partition(b'"')[0]
        self._book.words[f"{status.decode()} {word.decode()}"] += 1
        if status.startswith(b"2"):
            return _ENDINGS[word]
        if status == b"503":
            return Ending.UNAVAILABLE
        return Ending.BROKEN if status.startswith(b"5") else Ending.REFUSED

    def _plan_retry(self, number: int) -> None:
        made, delays = self._book.tries[number], self._events.habits(number).retries
        if made > len(delays):
            self._book.abandoned(number)
            return
        pause = delays[made - 1] / self._compression * self._dice.uniform(0.8, 1.2)
        heappush(self._retries, (self._book.now() + max(pause, self._shortest_pause), number))
