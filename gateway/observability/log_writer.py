"""A writer of log lines: the event loop never waits for a reader.

Lines are collected for a few milliseconds and written together. The event loop writes them itself, as much as the
descriptor takes at once. A thread writes the rest, and everything where a write could block. If the reader stalls, lines
wait in memory up to a limit; later ones are dropped and counted, and a line reports their number once the reader goes on.

The thread alone would do, but it takes the interpreter from the loop at each of its system calls: a tenth of the time of
an event (2026-11).
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from gateway.observability.nonblocking import ATOMIC_SIZE, open_outlet

MAX_WAITING = 4 * 1024**2
"""Bytes of lines that wait for a stalled reader: some 15,000 lines of requests. Later lines are dropped."""

_COLLECT_DELAY = 0.005
"""Seconds for which lines are collected before they are written together: one system call for many requests."""


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
        self._outlet = open_outlet(descriptor)
        self._chunk_size = self._outlet.atomic_size if self._outlet else ATOMIC_SIZE
        self._report_lost = report_lost
        self._reported = 0
        self._lines: list[bytes] = []
        self._waiting = 0
        self._lock = threading.Lock()  # of the lines and the numbers; held for moments
        self._writing = (
            threading.Lock()
        )  # of the descriptor; held by the thread for as long as the reader stalls
        self._flushing_loop: asyncio.AbstractEventLoop | None = None
        self._wake = threading.Event()
        self._is_closing = False
        # Started now: some versions of Python start no thread at their end, when this one may be needed most.
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
        if self._outlet is None:
            self._wake.set()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._wake.set()
            return
        if loop is not self._flushing_loop:  # none is to flush, or one that ended before it did
            self._flushing_loop = loop
            loop.call_later(_COLLECT_DELAY, self._flush)

    def close(self, timeout: float) -> None:
        """Write the lines that wait, for at most ``timeout`` seconds. No line may follow."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout)
        if self._outlet:
            self._outlet.close()
            self._outlet = None

    def _flush(self) -> None:
        """Write what the descriptor takes at once, and leave the rest to the thread."""
        self._flushing_loop = None
        if self._writing.acquire(blocking=False):
            try:
                self._drain(self._write_at_once)
            finally:
                self._writing.release()
        # The descriptor takes no more, or the thread is writing and has to go on with these.
        if self._lines or self.dropped > self._reported:
            self._wake.set()

    def _work(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait()
            self._wake.clear()
            is_last = self._is_closing  # read before the lines are taken: none may be left
            if not is_last:
                time.sleep(_COLLECT_DELAY)
            with self._writing:
                self._drain(self._write_all)

    def _drain(self, write: Callable[[bytes], int]) -> None:
        """Write all lines. What ``write`` does not write goes back to the beginning of those that wait."""
        with self._lock:
            lines, self._lines = self._lines, []
        done = 0
        for chunk in chunks_of(lines, self._chunk_size):
            text = b"".join(chunk)
            written = self._write(write, text, len(chunk))
            done += len(chunk)
            with self._lock:
                self._waiting -= written
                if written < len(text):
                    self._lines[:0] = [text[written:], *lines[done:]]
                    return
        if self.dropped > self._reported:
            self._report(write, self.dropped - self._reported)

    def _write(self, write: Callable[[bytes], int], text: bytes, lines: int) -> int:
        try:
            return write(text)
        except OSError:  # the reader is gone, or the disk is full
            with self._lock:
                self.dropped += lines
            return len(text)

    def _report(self, write: Callable[[bytes], int], lost: int) -> None:
        line = self._report_lost(lost)
        with suppress(OSError):
            written = write(line)
            if not written:
                return
            self._reported += lost
            with self._lock:
                if rest := line[written:]:
                    self._lines.insert(0, rest)
                    self._waiting += len(rest)

    def _write_at_once(self, text: bytes) -> int:
        """Write as much of ``text`` as the descriptor takes, and return how many bytes that is."""
        assert self._outlet  # noqa: S101 -- nothing is flushed without one
        try:
            return self._outlet.write(text)
        except BlockingIOError:
            return 0

    def _write_all(self, text: bytes) -> int:
        """Write all of ``text``, however long it takes."""
        rest = text
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # the parent process made the descriptor non-blocking
                select.select([], [self._descriptor], [])
        return len(text)


def chunks_of(lines: list[bytes], size: int = ATOMIC_SIZE) -> Iterator[list[bytes]]:
    """Group lines into chunks of at most ``size`` bytes; a longer line is a chunk of its own."""
    chunk: list[bytes] = []
    length = 0
    for line in lines:
        if chunk and length + len(line) > size:
            yield chunk
            chunk, length = [], 0
        chunk.append(line)
        length += len(line)
    if chunk:
        yield chunk
