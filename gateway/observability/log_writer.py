"""Writes lines from a thread of its own, so that whoever logs never waits for whoever reads.

Lines are gathered for a few milliseconds. When nobody reads, so many wait; later ones are dropped and counted,
and a line tells how many were lost once it flows again.
"""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator

ROOM = 4 * 1024**2
"""Bytes that wait at most."""

_GATHERED_FOR = 0.005  # seconds
_AT_ONCE = select.PIPE_BUF
"""Bytes that a pipe takes whole: more would mix with what other workers write to the same one."""


class LineWriter:
    """A file descriptor for lines.

    Args:
        descriptor: where they go.
        tell_lost: makes the line that tells how many were lost.

    Attributes:
        dropped: lines that were lost so far.
    """

    def __init__(self, descriptor: int, tell_lost: Callable[[int], bytes]) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._tell_lost = tell_lost
        self._told = 0
        self._lines: list[bytes] = []
        self._waiting = 0
        self._lock = threading.Lock()
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Have a line written, soon; it ends with a line feed."""
        with self._lock:
            if self._waiting + len(line) > ROOM:
                self.dropped += 1
                return
            self._waiting += len(line)
            self._lines.append(line)
            is_first = len(self._lines) == 1
        if is_first:
            self._wakes.put(True)

    def close(self, timeout: float) -> None:
        """Write what waits, for so many seconds at most; nothing is to be written afterwards."""
        self._wakes.put(False)
        self._thread.join(timeout)

    def _work(self) -> None:
        while self._wakes.get():
            time.sleep(_GATHERED_FOR)
            self._drain()
        self._drain()

    def _drain(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        for chunk in _chunks(lines):
            is_written = self._write_all(b"".join(chunk))
            with self._lock:
                self._waiting -= sum(map(len, chunk))
                self.dropped += 0 if is_written else len(chunk)
        lost = self.dropped - self._told
        if lost and self._write_all(self._tell_lost(lost)):
            self._told += lost

    def _write_all(self, text: bytes) -> bool:
        """Whether that was possible, however long it took."""
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:  # whoever gave it to us does not want to block either
                select.select([], [self._descriptor], [])
            except OSError:  # a reader that is gone, a full disk
                return False
        return True


def _chunks(lines: list[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) > _AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield chunk
