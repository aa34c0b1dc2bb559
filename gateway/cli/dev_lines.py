"""The lines of ``gateway dev``: a request and the event that it carried, once the event has passed the queue, in one line."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from structlog.typing import EventDict

from gateway.cli.live import LiveLines
from gateway.cli.tail import line_of_event
from gateway.events.strict_json import load_event
from gateway.observability.event_lines import EventLine, line_of_request

_QUEUE_TIMEOUT = 1.0
"""Seconds for an event to come out of the queue; then its request is printed without a summary."""

_LOG_TIMEOUT = 0.5
"""Seconds for the line of a request to follow its event. An event that was released or replayed has none."""

_SAID_BY_BANNER = frozenset(("listening", "stopped"))
"""Log events that the banner and the prompt of the shell make needless."""

_FLUSH_DELAY = 0.1
"""Seconds between two looks for lines that have waited too long."""

Key = tuple[str, str]
"""The provider and the id of an event."""


@dataclass(slots=True)
class _Waiting:
    """A line that waits for its other half, or for the line before it.

    Attributes:
        due: When it stops waiting, in monotonic seconds.
        line: The line as it stands.
        kind: How the counter calls it.
        is_whole: Whether nothing is missing.
    """

    due: float
    line: EventLine
    kind: str
    is_whole: bool


class DevLines:
    """Joins the log of the gateway with what the example worker receives, and prints both to ``lines``.

    Lines keep the order in which they began: a duplicate never stands before its original.
    """

    def __init__(self, lines: LiveLines, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._requests: dict[Key, _Waiting] = {}
        self._events: dict[Key, _Waiting] = {}

    def take(self, _: object, __: str, fields: EventDict) -> EventDict:
        """Take the log events of requests out of the log; a processor of structlog."""
        if fields["event"] in _SAID_BY_BANNER:
            raise structlog.DropEvent
        if fields["event"] == "request":
            self.on_request(fields)
            raise structlog.DropEvent
        return fields

    def on_request(self, fields: Mapping[str, Any]) -> None:
        """Take a request that was logged."""
        key = (str(fields.get("provider")), str(fields.get("event_id")))
        line, kind = line_of_request(fields), str(fields.get("outcome")).replace("_", " ")
        has_event = fields.get("outcome") == "accepted" and bool(fields.get("event_id"))
        if has_event and (found := self._events.pop(key, None)):
            found.line, found.kind, found.is_whole = replace(line, detail=found.line.detail), kind, True
        else:
            waiting = _Waiting(self._clock() + _QUEUE_TIMEOUT, line, kind, not has_event)
            self._queue.append(waiting)
            if has_event:
                self._requests[key] = waiting
        self.flush()

    def on_event(self, body: bytes) -> None:
        """Take an event that came out of the queue."""
        event, line = load_event(body), line_of_event(body)
        key = (str(event.get("provider")), str(event.get("id")))
        if found := self._requests.pop(key, None):
            found.line, found.is_whole = replace(found.line, detail=line.detail), True
        else:
            line = replace(line, outcome="handled")
            waiting = _Waiting(self._clock() + _LOG_TIMEOUT, line, line.outcome, is_whole=False)
            self._queue.append(waiting)
            self._events[key] = waiting
        self.flush()

    def flush(self, *, everything: bool = False) -> None:
        """Print what waits for nothing, or has waited too long."""
        now = self._clock()
        while self._queue and (everything or self._queue[0].is_whole or self._queue[0].due <= now):
            waiting = self._queue.popleft()
            self._lines.show(waiting.line, waiting.kind)
            if not waiting.is_whole:
                for halves in (self._requests, self._events):
                    for key in [key for key, each in halves.items() if each is waiting]:
                        del halves[key]

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Print what waits too long, for as long as the block runs; at its end, print everything."""
        task = asyncio.create_task(self._keep_flushing(), name="lines")
        async with self._lines.ticking():
            try:
                yield
            finally:
                task.cancel()
                self.flush(everything=True)

    async def _keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_DELAY)
            self.flush()
