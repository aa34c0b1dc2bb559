"""Send events on a fixed schedule, whatever the answers do, and note when each was answered.

A latency counts from the scheduled moment, so that a gateway that stalls is charged for everything that had to wait.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self, cast
from urllib.parse import urlsplit

from typing_extensions import override

from support.senders import Delivery
from support.waiting import PATIENCE

_HEAD_END = b"\r\n\r\n"


class Answer(NamedTuple):
    """How an event was answered.

    Attributes:
        due_at: when it was to be sent, in monotonic seconds.
        seconds: from then to its answer.
        status: of HTTP; 0 if the connection ended before.
    """

    due_at: float
    seconds: float
    status: int


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, sender: PacedSender) -> None:
        self._sender = sender
        self._buffer = b""
        self._under_way: tuple[Delivery, float] | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return not self._transport.is_closing()

    def send(self, delivery: Delivery, due_at: float) -> None:
        """Send a request that was due then."""
        self._under_way = delivery, due_at
        self._transport.write(delivery.on_the_wire())

    @override
    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        head, found, body = data.partition(_HEAD_END)
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
        if not found or len(body) < length:
            self._buffer = data
            return
        self._buffer = b""
        if b"\r\nconnection: close" in head.lower():
            self._transport.close()
        self._note(int(data[9:12]), body.decode())

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._note(0, f"connection lost: {exc}")

    def _note(self, status: int, words: str) -> None:
        if self._under_way:
            (delivery, due_at), self._under_way = self._under_way, None
            self._sender.note(delivery, due_at, status, words, self)

    def close(self) -> None:
        """Close it."""
        self._transport.close()


@dataclass
class PacedSender:
    """Sends events at a rate, each of them once.

    Attributes:
        url: of the gateway, or of the load balancer.
        make: makes the next event.
        rate: events a second.
        accepted: the events that were answered with 2xx, by id.
        answers: the answers to each event, by id.
        timed: when each was answered.
    """

    url: str
    make: Callable[[], Delivery]
    rate: float
    accepted: dict[str, Delivery] = field(default_factory=dict)
    answers: dict[str, list[str]] = field(default_factory=dict)
    timed: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        self._address = address.hostname or "", address.port or 80
        self._is_over = threading.Event()
        self._idle: deque[_Connection] = deque()
        self._unanswered = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self, timeout: float = PATIENCE) -> None:
        """Send no more events, and wait until those under way are answered."""
        self._is_over.set()
        self._thread.join(timeout)

    def note(
        self, delivery: Delivery, due_at: float, status: int, words: str, connection: _Connection | None
    ) -> None:
        """Note an answer, and use the connection again."""
        self._unanswered -= 1
        self.timed.append(Answer(due_at, time.monotonic() - due_at, status))
        is_success = 200 <= status < 300
        self.answers[delivery.event_id] = [f"{status}" if is_success else f"{status} {words}"]
        if is_success:
            self.accepted[delivery.event_id] = delivery
        if connection and connection.is_open:
            self._idle.append(connection)

    async def _run(self) -> None:
        began_at, number = time.monotonic(), 0
        while not self._is_over.is_set():
            due_at = began_at + number / self.rate
            if (delay := due_at - time.monotonic()) > 0:
                await asyncio.sleep(delay)
            elif number % 16 == 0:  # behind the schedule: read answers all the same
                await asyncio.sleep(0)
            number += 1
            self._send(self.make(), due_at)
        while self._unanswered:
            await asyncio.sleep(0.05)
        for connection in self._idle:
            connection.close()

    def _send(self, delivery: Delivery, due_at: float) -> None:
        self._unanswered += 1
        while self._idle:
            connection = self._idle.popleft()  # in rotation: those never used would be closed
            if connection.is_open:
                connection.send(delivery, due_at)
                return
        task = asyncio.get_running_loop().create_task(self._send_anew(delivery, due_at))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_anew(self, delivery: Delivery, due_at: float) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), *self._address
            )
        except OSError as error:
            self.note(delivery, due_at, 0, f"no connection: {error}", None)
        else:
            connection.send(delivery, due_at)
