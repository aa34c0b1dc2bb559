"""Writing to a folder of segments: adding, sealing, erasing and deleting."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway.journal.entry import Entry, moment_of
from gateway.journal.intake import Batch, Positions
from gateway.journal.segments.files import (
    OPEN_NAME,
    SEGMENTS_NAME,
    SegmentFile,
    is_corrupt,
    segment_files,
    set_aside,
)
from gateway.journal.segments.open_reader import OpenState, read_positions
from gateway.journal.segments.open_segment import SegmentWriter
from gateway.journal.segments.reading import SegmentReader
from gateway.journal.segments.sealed import erase, event_condition, seal
from gateway.transport.private_files import make_private_folder, private_opener

SEGMENT_ENTRIES = 100_000
"""Entries after which a segment is sealed: 30 MB, half a second to index, 10 to 25 ms to scan."""

SEGMENT_AGE = 86_400.0
"""Seconds after which one is sealed in any case: the journal forgets by whole segments."""

_LOCK_NAME = "segments.lock"

log = structlog.get_logger()


class Limits(NamedTuple):
    """What a journal may hold.

    Attributes:
        max_age: Seconds that an entry is kept, and then until the last one of its segment is as old.
        max_size: Bytes on disk, beyond which the oldest segments are deleted.
        segment_entries: Entries of a segment.
    """

    max_age: float = 1_209_600.0
    max_size: int = 2 * 1024**3
    segment_entries: int = SEGMENT_ENTRIES


class SegmentFolder:
    """A folder of segments that is written to. Its methods may be called by several threads.

    Args:
        folder: The folder of the journal; it is made when something is written.
        limits: What it may hold.
        reader: What reads the same folder.
    """

    def __init__(self, folder: Path, limits: Limits, reader: SegmentReader) -> None:
        self._folder = folder
        self._segments = folder / SEGMENTS_NAME
        self._limits = limits
        self._reader = reader
        self._lock = threading.RLock()
        self._writer: SegmentWriter | None = None
        self._inode = 0

    def take(self, read: Callable[[Positions], Batch]) -> Batch:
        """Add what ``read`` returns, and the positions, in one transaction."""
        with self._writing() as writer:
            return writer.take(read, time.time())

    def append(self, entries: Sequence[Entry]) -> int:
        """Add entries, and return how many were new."""
        with self._writing() as writer:
            return writer.append(entries, time.time())

    def close_full(self, now: float) -> bool:
        """Seal the open segment if it is full or old."""
        if not (self._folder / OPEN_NAME).exists():
            return False
        with self._writing() as writer:
            count, opened_at = writer.count()
            age = now - opened_at if opened_at is not None else 0.0
            if count == 0 or (count < self._limits.segment_entries and 0 <= age < self._segment_age):
                return False
            with self._exclusive():
                writer.seal(lambda sealed: self._seal(writer, sealed))
        return True

    def sealed_positions(self) -> Positions:
        """Return the positions of the newest sealed segment."""
        for file in reversed(segment_files(self._segments)):
            try:
                connection = sqlite3.connect(
                    f"{(self._segments / file.name).absolute().as_uri()}?mode=ro&immutable=1", uri=True
                )
                try:
                    return read_positions(connection)
                finally:
                    connection.close()
            except sqlite3.Error:
                continue
        return {}

    def erase(self, event_id: str, provider: str) -> int:
        """Erase the texts of an event from all segments, and return the number of its entries."""
        if not self._folder.exists():
            return 0
        with self._writing() as writer, self._exclusive():
            count = writer.erase(event_id, provider)
            for file in segment_files(self._segments):
                if self._has(file, event_id, provider):
                    count += erase(self._segments / file.name, event_id, provider)
        return count

    def prune(self, now: float, other_size: int) -> None:
        """Delete the oldest segments; ``other_size`` bytes are there beside them. Set corrupt ones aside."""
        if not self._folder.exists():
            return
        with self._lock, self._exclusive():
            for file in list(self._reader.corrupt):
                log.error("journal segment set aside", file=file.name)
                with suppress(FileNotFoundError):
                    set_aside(self._folder, self._segments / file.name)
                self._reader.corrupt.discard(file)
            files = sorted(segment_files(self._segments), key=lambda file: file.high)
            sizes = {file: (self._segments / file.name).stat().st_size for file in files}
            size = sum(sizes.values()) + other_size
            for file in files:
                is_old = moment_of(file.high) < now - self._limits.max_age
                if not is_old and size <= self._limits.max_size:
                    break
                self._reader.discard(file)
                (self._segments / file.name).unlink(missing_ok=True)
                size -= sizes[file]

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            if self._writer:
                self._writer.close()
                self._writer = None

    @property
    def _segment_age(self) -> float:
        return min(SEGMENT_AGE, self._limits.max_age / 10)

    def _seal(self, writer: SegmentWriter, sealed: int) -> tuple[int, int]:
        for file in segment_files(self._segments):
            if file.last > sealed:  # made by a process that was killed before it could note so
                (self._segments / file.name).unlink(missing_ok=True)
        file = seal(writer.path, self._segments)
        return file.last, file.high

    def _has(self, file: SegmentFile, event_id: str, provider: str) -> bool:
        where, values = event_condition(event_id, provider)
        return self._reader.first_entry(file, where, values) is not None

    @contextmanager
    def _writing(self) -> Iterator[SegmentWriter]:
        """Use the open segment. If it is corrupt it is set aside, and the next use begins a new one."""
        with self._lock:
            try:
                yield self._open()
            except sqlite3.DatabaseError as error:
                if is_corrupt(error):
                    self._set_aside()
                raise

    def _set_aside(self) -> None:
        log.error("journal segment set aside", file=OPEN_NAME)
        self.close()
        with self._exclusive():
            set_aside(self._folder, self._folder / OPEN_NAME)

    def _open(self) -> SegmentWriter:
        path = self._folder / OPEN_NAME
        inode = path.stat().st_ino if path.exists() else 0
        if inode and inode == self._reader.corrupt_inode:
            self._set_aside()
            inode = 0
        if self._writer and inode != self._inode:  # it was removed or set aside
            self.close()
        if self._writer is None:
            make_private_folder(self._folder)
            make_private_folder(self._segments)
            files = segment_files(self._segments)
            initial = OpenState(
                max((file.last for file in files), default=0), max((file.high for file in files), default=0)
            )
            self._writer = SegmentWriter(
                self._folder, initial, self.sealed_positions(), self._reader.sealed_entry
            )
            self._inode = path.stat().st_ino
        return self._writer

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep other processes from sealing, erasing and deleting."""
        with open(self._folder / _LOCK_NAME, "a", opener=private_opener) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
