"""A writer of log lines on its own thread, so that the event loop never waits for the reader of the log.

Lines are collected for a few milliseconds and written together. If the reader stalls, lines wait in memory up to a limit;
later ones are dropped and counted, and a line reports their number once the reader goes on.
"""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator

MAX_WAITING = 4 * 1024**2
"""Bytes of lines that wait for a stalled reader: some 15,000 lines of requests. Later lines are dropped."""

_COLLECT_DELAY = 0.005
"""Seconds for which lines are collected before they are written together: one system call for many requests."""

_CHUNK_SIZE = select.PIPE_BUF
"""Bytes that a pipe takes atomically. A larger write could mix with those of other processes to the same pipe."""


class LineWriter:
    """A file descriptor for lines.

    Args:
        descriptor: The file descriptor.
        report_lost: Makes the line that reports how many lines were dropped.

    Attributes:
        dropped: The number of lines dropped so far.
    """

    def __init__(self, descriptor: int, report_lost: Callable[[int], bytes]) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._report_lost = report_lost
        self._reported = 0
        self._lines: list[bytes] = []
        self._waiting = 0
        self._lock = threading.Lock()
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue a line, which ends with a line feed, or drop it if too many bytes are waiting."""
        with self._lock:
            if self._waiting + len(line) > MAX_WAITING:
                self.dropped += 1
                return
            self._waiting += len(line)
            self._lines.append(line)
            is_first = len(self._lines) == 1
        if is_first:
            self._wakes.put(True)

    def close(self, timeout: float) -> None:
        """Write the lines that wait, for at most ``timeout`` seconds. Do not write to a closed writer."""
        self._wakes.put(False)
        self._thread.join(timeout)

    def _work(self) -> None:
        while self._wakes.get():
            time.sleep(_COLLECT_DELAY)
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
        lost = self.dropped - self._reported
        if lost and self._write_all(self._report_lost(lost)):
            self._reported += lost

    def _write_all(self, text: bytes) -> bool:
        """Write all of ``text``, however long it takes; return False if the descriptor fails."""
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:  # the parent process made the descriptor non-blocking
                select.select([], [self._descriptor], [])
            except OSError:  # the reader is gone, or the disk is full
                return False
        return True


def _chunks(lines: list[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) > _CHUNK_SIZE:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line)
    if chunk:
        yield chunk
