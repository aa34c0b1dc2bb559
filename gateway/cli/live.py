"""A stream of events on a terminal: one line each, or a counter while they come faster than anyone reads."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TextIO

from gateway.observability.event_lines import EventLine, time_of_day
from gateway.observability.terminal import cut, is_terminal

MAX_LINES = 20
"""Events within a second, beyond which they are counted instead of printed."""

_WINDOW = 1.0
"""Seconds over which events are counted to tell how fast they come."""

_REDRAW_DELAY = 0.2
"""Seconds between two drawings of the counter."""


class LiveLines:
    """Prints events to ``stream``. Only a terminal has a counter: a program that reads a pipe gets every event.

    Args:
        stream: By default, standard output.
        clock: Returns monotonic seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._recent: deque[float] = deque()
        self._counts: Counter[str] = Counter()
        self._counting_since: float | None = None
        self._drawn_at = 0.0

    @property
    def is_counting(self) -> bool:
        """Return whether events are counted at the moment."""
        return self._counting_since is not None

    def show(self, line: EventLine, kind: str) -> None:
        """Print ``line``, or count an event of this kind."""
        now = self._clock()
        self._recent.append(now)
        self._forget(now)
        if self._counting_since is None and len(self._recent) > MAX_LINES and is_terminal(self._stream):
            self._counting_since = now
        if self._counting_since is None:
            self._write(line.shown(self._stream) + "\n")
            return
        self._counts[kind] += 1
        if now - self._drawn_at >= _REDRAW_DELAY:
            self._draw(now)

    def msg(self, text: str) -> None:
        """Print any other text in a line of its own. The name is that of structlog's loggers."""
        self._write(f"{self._erased()}{text}\n")

    info = warning = error = debug = critical = exception = msg

    def tick(self) -> None:
        """Redraw the counter, or sum it up once the events come slowly again."""
        if self._counting_since is None:
            return
        now = self._clock()
        self._forget(now)
        if len(self._recent) > MAX_LINES:
            self._draw(now)
        else:
            self.close()

    def close(self) -> None:
        """Leave a line that sums the counter up, if there is one."""
        if self._counting_since is not None:
            seconds = self._clock() - self._counting_since
            self._write(f"{self._erased()}{time_of_day()} {self._text()} in {seconds:.1f} s\n")
            self._counting_since = None
            self._counts.clear()

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Keep the counter fresh within the block, and sum it up at the end."""
        task = asyncio.create_task(self._keep_ticking(), name="counter")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.close()

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(_REDRAW_DELAY)
            self.tick()

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - _WINDOW:
            self._recent.popleft()

    def _draw(self, now: float) -> None:
        self._drawn_at = now
        text = f"{time_of_day()} {self._text()}  {len(self._recent):,}/s"
        self._write(f"\r\x1b[K{cut(text, shutil.get_terminal_size().columns - 1)}")

    def _text(self) -> str:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self._counts.most_common())
        return f"{self._counts.total():,} events: {kinds}"

    def _erased(self) -> str:
        return "\r\x1b[K" if self._counting_since is not None else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
