"""Fills a journal from the raw files that processes append to.

One process at a time does so, the one that has a lock: the console, or a command that reads while there is no console.
The positions in the files are committed with the entries, so that a process that is killed at any moment leaves nothing
twice and skips nothing.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from gateway.journal.bounds import MAX_ID
from gateway.journal.entry import Entry
from gateway.journal.intake import Batch, Intake, Position, Positions
from gateway.journal.raw import DONE, WRITING, RawFile, raw_files
from gateway.transport.private_files import make_private_folder, private_opener

READ_SIZE = 2 * 1024**2
"""Bytes of raw lines in one transaction, some 7,000 entries: 0.1 s."""

MAX_LINE = 64 * 1024
"""Bytes of the longest line; an entry has 3 kB at most. What is longer without an end is skipped."""

INTERVAL = 0.5
"""Seconds between two looks at the raw files."""

PRUNE_INTERVAL = 60.0
"""Seconds between two looks for what is too old or too large."""

RETIRED_SIZE = 1024**2
"""Bytes of a file beyond which its process is made to begin a new one, so that this one can be deleted."""

_LOCK_NAME = "index.lock"

_DECODER = msgspec.json.Decoder(Entry)

log = structlog.get_logger()


class Indexer:
    """Fills a journal from a folder of raw files.

    Args:
        journal: The journal.
        folder: The folder of the raw files, which need not be there yet.

    Attributes:
        unavailable_reason: Why the last attempt failed; empty if it did not.
    """

    def __init__(self, journal: Intake, folder: Path) -> None:
        self._journal = journal
        self._folder = folder
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._pruned_at = float("-inf")
        self.unavailable_reason = ""

    def start(self) -> None:
        """Begin to index in a thread, as soon as no other process does so."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._work, name="journal indexer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Index what is there, and end the thread."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    def try_to_catch_up(self, budget: float) -> bool:
        """Index what is there, for so many seconds at most; return whether this process was the one to do so.

        Raises:
            OSError: The journal cannot be written, or a raw file not read. The positions stay where they are.
        """
        if not self._folder.exists():
            return False
        with self._lock() as is_ours:
            if is_ours:
                self._catch_up(time.monotonic() + budget)
        return is_ours

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._lock() as is_ours:
                    while is_ours and not self._stopping.is_set():
                        self._attempt()
                        self._stopping.wait(INTERVAL)
                    if is_ours:
                        self._attempt()
            except OSError as error:  # the lock cannot be made
                self._note_failure(error)
            self._stopping.wait(INTERVAL)

    def _attempt(self) -> None:
        """Index once. After a failure, such as a full disk, the next attempt begins at the same positions."""
        try:
            self._catch_up(float("inf"))
            now = time.monotonic()
            if now - self._pruned_at >= PRUNE_INTERVAL:
                self._pruned_at = now
                self._retire()
                self._journal.prune(time.time())
        except OSError as error:
            self._note_failure(error)
        except Exception:  # a bug, or a file that is no longer what it was, must not end the thread
            log.exception("journal not indexed")
        else:
            if self.unavailable_reason:
                log.info("journal indexed again")
            self.unavailable_reason = ""

    def _note_failure(self, error: OSError) -> None:
        if not self.unavailable_reason:
            log.error("journal not indexed", reason=str(error))
        self.unavailable_reason = str(error)

    def _catch_up(self, deadline: float) -> None:
        has_more = True
        while has_more:
            reader = _Reader(raw_files(self._folder))
            self._journal.take(reader.read)
            if self._journal.close_full(time.time()):
                self._retire()
            has_more = reader.has_more and time.monotonic() < deadline

    def _retire(self) -> None:
        """Delete files whose lines are safe in the journal, and make processes begin new ones in place of large ones."""
        positions = self._journal.sealed_positions()
        for file in raw_files(self._folder):
            position = positions.get(file.name)
            if position is None or position.inode != file.inode:
                continue
            with suppress(FileNotFoundError), file.path.open("rb") as opened:
                if _is_written(opened):
                    if file.path.suffix == WRITING and position.offset >= RETIRED_SIZE:
                        file.path.rename(file.path.with_suffix(DONE))
                elif not _has_line(opened, position.offset):
                    file.path.unlink()

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        """Keep other processes from indexing; tell whether this one may."""
        make_private_folder(self._folder.parent)
        with open(self._folder.parent / _LOCK_NAME, "a", opener=private_opener) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


class _Reader:
    """Reads some lines of raw files.

    Attributes:
        has_more: Whether there is more than was read.
    """

    def __init__(self, files: Sequence[RawFile]) -> None:
        self._files = files
        self._entries: list[Entry] = []
        self._unreadable = 0
        self.has_more = False

    def read(self, positions: Positions) -> Batch:
        """Return entries behind the positions, some of each file."""
        reached: dict[str, Position] = {}
        unread = [file for file in self._files if _offset(positions, file) < file.size]
        for file in unread:
            offset = _offset(positions, file)
            try:
                with file.path.open("rb") as opened:
                    opened.seek(offset)
                    chunk = opened.read(max(READ_SIZE // len(unread), MAX_LINE))
            except FileNotFoundError:
                continue
            end = chunk.rfind(b"\n") + 1
            if not end and len(chunk) >= MAX_LINE:
                end = len(chunk)  # no process writes such a line
            if end:
                self._decode(chunk[:end])
                reached[file.name] = Position(file.inode, offset + end)
                self.has_more |= offset + len(chunk) < file.size
        gone = positions.keys() - {file.name for file in self._files}
        return Batch(self._entries, reached, self._unreadable, sorted(gone))

    def _decode(self, lines: bytes) -> None:
        try:
            entries = _DECODER.decode_lines(lines)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            entries = []
            for line in filter(None, lines.split(b"\n")):
                try:
                    entries.append(_DECODER.decode(line))
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    self._unreadable += 1
        known = [entry for entry in entries if 0 < entry.id < MAX_ID]
        self._unreadable += len(entries) - len(known)
        self._entries += known


def _offset(positions: Positions, file: RawFile) -> int:
    position = positions.get(file.name)
    return position.offset if position and position.inode == file.inode else 0


def _is_written(file: BinaryIO) -> bool:
    """Return whether a process still has the file for writing; it keeps a lock on it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _has_line(file: BinaryIO, offset: int) -> bool:
    """Return whether there is a whole line behind an offset; half of one was left by a process that was killed."""
    file.seek(offset)
    return b"\n" in file.read()
