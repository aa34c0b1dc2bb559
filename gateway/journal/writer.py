"""The writing side of the journal: a process appends entries to files of its own, and never waits for a disk.

Entries are collected for a moment. The event loop encodes them all at once, and a thread writes them with one system call.
Whatever is in the way of that (a full disk, a missing folder, a reader that lags behind) costs entries, which are counted,
and never a request. A process that is killed loses what it has not written: its last 200 ms.

A writer holds a lock (``flock``) on the file that it writes, and never writes to a file that it did not make. So a reader
may delete a file that it has read to its end once it gets the lock: no more will be written to it, and no other file
ever has its name. A reader that renames the file makes the writer begin another one.

The module has slightly more than 200 lines because the limits on memory, files and disk meet in one place.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import msgspec
import structlog

from gateway.journal.entry import EPOCH_MS, SEQUENCE_BITS, Entry
from gateway.observability.counters import JOURNAL_STAGES, JournalStage
from gateway.transport.private_files import make_private_folder

RAW_FOLDER = "raw"
"""The folder of the files, in the folder of the journal."""

SUFFIX = ".jsonl"
"""The end of the name of each file: ``<slot>-<number>.jsonl``, where a later file of a slot has a larger number."""

COLLECT_DELAY = 0.2
"""Seconds for which entries are collected: what a process that is killed may lose."""

MAX_COLLECTED = 500
"""Entries that are encoded at once. More would hold up the event loop for longer than the answer to a request."""

MAX_MEMORY = 8 * 1024**2
"""Bytes of encoded entries that wait for the disk. Later entries are dropped."""

MAX_FILE_SIZE = 64 * 1024**2
"""Bytes of a file, after which the next one begins."""

MAX_BACKLOG = 256 * 1024**2
"""Bytes of the files of all processes together that nobody has indexed. Later entries are dropped."""

MIN_FREE_SPACE = 1024**3
"""Bytes that the disk keeps free: the spool comes first."""

MIN_FREE_SHARE = 0.05
"""The share of the disk that stays free."""

_CHECK_INTERVAL = 1.0
"""Seconds between two looks at the folder and at the disk."""

_WARN_INTERVAL = 60.0
"""Seconds between two log lines about dropped entries of one stage."""

_STOP_TIMEOUT = 1.0
"""Seconds that the end of a process waits for its last entries."""

_WRITER_BITS = 8
_WRITER_SHIFT = SEQUENCE_BITS - _WRITER_BITS
_MAX_START = 1 << (_WRITER_SHIFT - 1)

log = structlog.get_logger()


class _Batch(NamedTuple):
    """Encoded entries.

    Attributes:
        lines: One JSON array a line.
        entries: The number of lines.
    """

    lines: bytes
    entries: int


class EntryIds:
    """Makes the ids of the entries of one process, each larger than the one before, even if the clock goes back.

    Two processes, on this machine or on others, have different ids in all likelihood: writer and first sequence number are
    random.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        low = secrets.randbelow(1 << _WRITER_BITS) << _WRITER_SHIFT | secrets.randbelow(_MAX_START)
        self._base = low - (EPOCH_MS << SEQUENCE_BITS)
        self._last = 0
        self._until = 0.0  # the end of the millisecond of the last id

    def next(self) -> int:
        """Return the id of an entry that is made now."""
        now = self._clock()
        if now >= self._until:
            milliseconds = int(now * 1000)
            self._until = (milliseconds + 1) / 1000
            self._last = max((milliseconds << SEQUENCE_BITS) + self._base, self._last + 1)
        else:  # in one millisecond, or while the clock is behind
            self._last += 1
        return self._last


class JournalWriter:
    """Appends the entries of one process to files. It belongs to one event loop, and raises nothing.

    Args:
        folder: The folder of the journal.
        slot: The number of the process, from 0.
        clock: Unix seconds.

    Attributes:
        gateway: The name of this host, for the entries.
        is_running: Whether it writes; what comes before its start or after its end is ignored.
        next_id: Returns the id of an entry that is made now.
        dropped: The number of entries dropped so far, by stage.
    """

    def __init__(self, folder: Path, slot: int = 0, clock: Callable[[], float] = time.time) -> None:
        self.gateway = socket.gethostname()
        self.is_running = False
        self.next_id = EntryIds(clock).next
        self.dropped: dict[JournalStage, int] = dict.fromkeys(JOURNAL_STAGES, 0)
        self._files = _Files(folder / RAW_FOLDER, slot)
        self._encode = msgspec.json.Encoder().encode_lines
        self._collected: list[Entry] = []
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._handed_over = 0  # bytes; counted by the event loop
        self._done = 0  # bytes of them that are written or dropped; counted by the thread
        self._warned_at: dict[JournalStage, float] = {}
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()
        self.is_running = True

    def stop(self) -> None:
        """Write what has been collected, for at most a second. No entry may follow."""
        if self.is_running:
            self.is_running = False
            self.flush()
            self._batches.put(None)
            self._thread.join(_STOP_TIMEOUT)

    def write(self, entry: Entry) -> None:
        """Append an entry, soon."""
        if not self.is_running:
            return
        collected = self._collected
        collected.append(entry)
        if len(collected) == 1:
            asyncio.get_running_loop().call_later(COLLECT_DELAY, self.flush)
        elif len(collected) >= MAX_COLLECTED:
            self.flush()

    def flush(self) -> None:
        """Hand over to the thread what has been collected."""
        if not self._collected:
            return
        entries, self._collected = self._collected, []
        batch = _Batch(self._lines_of(entries), len(entries))
        if self._handed_over - self._done + len(batch.lines) > MAX_MEMORY:
            self.drop("memory", len(entries))
            return
        self._handed_over += len(batch.lines)
        self._batches.put(batch)

    def drop(self, stage: JournalStage, entries: int = 1) -> None:
        """Count entries that are not written."""
        self.dropped[stage] += entries

    def _lines_of(self, entries: list[Entry]) -> bytes:
        try:
            return self._encode(entries)
        except UnicodeEncodeError:  # no text that comes through JSON or HTTP has half a surrogate pair
            return self._encode([_encodable(entry) for entry in entries])

    # --- on the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        is_last = False
        while not is_last:
            batches = [self._batches.get()]
            while not self._batches.empty():
                batches.append(self._batches.get())
            is_last = None in batches
            self._write([batch for batch in batches if batch])
        self._files.close()

    def _write(self, batches: list[_Batch]) -> None:
        entries = sum(batch.entries for batch in batches)
        lines = b"".join(batch.lines for batch in batches)
        stage: JournalStage = "disk"
        cause = ""
        try:
            if obstacle := self._files.obstacle():
                stage, cause = obstacle
            elif lines:
                self._files.append(lines)
        except OSError as error:
            cause = str(error)
        if cause and entries:
            self.drop(stage, entries)
            self._warn(stage, cause)
        self._done += len(lines)

    def _warn(self, stage: JournalStage, cause: str) -> None:
        now = time.monotonic()
        if now - self._warned_at.get(stage, -_WARN_INTERVAL) >= _WARN_INTERVAL:
            self._warned_at[stage] = now
            log.warning("journal entries dropped", stage=stage, cause=cause, dropped=self.dropped[stage])


class _Files:
    """The files of one process. All methods may wait for the disk.

    Args:
        folder: The folder of the files of all processes.
        slot: The number of the process.
    """

    def __init__(self, folder: Path, slot: int) -> None:
        self._folder = folder
        self._slot = slot
        self._descriptor = -1
        self._path = folder
        self._size = 0
        self._is_torn = False
        self._checked_at = -_CHECK_INTERVAL
        self._obstacle: tuple[JournalStage, str] | None = None

    def obstacle(self) -> tuple[JournalStage, str] | None:
        """Return what is in the way of writing: the stage, and the cause in words.

        Raises:
            OSError: The folder cannot be made or read.
        """
        now = time.monotonic()
        if now - self._checked_at >= _CHECK_INTERVAL:
            self._obstacle = self._look()
            self._checked_at = now
        return self._obstacle

    def append(self, lines: bytes) -> None:
        """Write lines to the end of the file, or of a new one.

        Raises:
            OSError: They cannot be written, or not all of them.
        """
        if self._descriptor < 0 or self._size >= MAX_FILE_SIZE or not self._path.exists():
            self.close()
            self._open()
        if self._is_torn:  # so that only one line is lost
            lines = b"\n" + lines
        rest = memoryview(lines)
        try:
            while rest:
                written = os.write(self._descriptor, rest)
                self._size += written
                rest = rest[written:]
        except OSError:
            self._is_torn |= len(rest) < len(lines)
            raise
        self._is_torn = False

    def close(self) -> None:
        """Close the file, which also releases its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        make_private_folder(self._folder)
        number = time.time_ns() // 1_000_000  # unique for ever: readers keep positions by name
        while True:
            path = self._folder / f"{self._slot}-{number}{SUFFIX}"
            with suppress(FileExistsError):
                self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
                break
            number += 1
        self._path = path
        self._size = 0
        self._is_torn = False
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _look(self) -> tuple[JournalStage, str] | None:
        make_private_folder(self._folder)
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free < max(MIN_FREE_SPACE, disk.f_blocks * disk.f_frsize * MIN_FREE_SHARE):
            return "disk", f"only {free // 1024**2} MiB of the disk are free"
        if (backlog := backlog_of(self._folder)) > MAX_BACKLOG:
            return "backlog", f"{backlog // 1024**2} MiB are not indexed; does the console run?"
        return None


def backlog_of(folder: Path) -> int:
    """Return the bytes of all files in a folder of raw files.

    Raises:
        OSError: The folder cannot be read.
    """
    size = 0
    with os.scandir(folder) as files:
        for file in files:
            with suppress(FileNotFoundError):  # its reader has just deleted it
                size += file.stat().st_size
    return size


def _encodable(entry: Entry) -> Entry:
    values = msgspec.structs.asdict(entry)
    texts = {
        name: value.encode(errors="replace").decode() for name, value in values.items() if type(value) is str
    }
    return msgspec.structs.replace(entry, **texts)
