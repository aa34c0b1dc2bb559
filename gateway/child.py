"""One of several worker processes, for what runs in it."""

from __future__ import annotations

import asyncio
import mmap
import signal
from collections.abc import Callable
from dataclasses import dataclass

ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals that end a gateway."""


class Note:
    """What a worker tells its parent, in memory that outlives it."""

    _TEXT = slice(1, mmap.PAGESIZE)

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def has_started(self) -> bool:
        """Whether it has ever served."""
        return bool(self._memory[0])

    @has_started.setter
    def has_started(self, value: bool) -> None:
        self._memory[0] = value

    @property
    def text(self) -> str:
        """Why it ended, for people; empty when it did not say."""
        return self._memory[self._TEXT].rstrip(b"\0").decode(errors="ignore")

    @text.setter
    def text(self, text: str) -> None:
        room = mmap.PAGESIZE - 1
        self._memory[self._TEXT] = text.encode(errors="replace")[:room].ljust(room, b"\0")


@dataclass(frozen=True)
class ProcessContext:
    """The worker.

    Attributes:
        slot: which of the workers it is, from 0.
        predecessor: how the worker ended whose place it takes; empty if there was none.
    """

    slot: int
    predecessor: str
    _parent: int
    _note: Note

    def watch(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` at a signal to end, and when the parent is gone; on the event loop that runs.

        Later signals say the same again: a terminal sends them to parent and workers alike, and the parent
        passes its own on. It is for the parent to kill at the second one.
        """
        loop = asyncio.get_running_loop()

        def on_parent_gone() -> None:
            loop.remove_reader(self._parent)
            stop()

        for number in ENDING:
            loop.add_signal_handler(number, stop)
        loop.add_reader(self._parent, on_parent_gone)

    def note_started(self) -> None:
        """Tell the parent that this worker serves: should it fail from now on, it is replaced."""
        self._note.has_started = True
