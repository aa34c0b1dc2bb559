"""The files of a journal in SQLite: their names say what is in them, so that most are never opened.

In ``<data_dir>/journal/`` lie

- ``open.db``, which is written to: entries, positions in the raw files, and up to which arrival entries are sealed;
- ``segments/<last arrival>-<entries>-<smallest id>-<largest id>.db``, sealed: sorted, indexed and never written to;
- ``corrupt/``, files that could not be read;
- ``raw/``, lines that processes have written.

A segment is sealed in this order: the file is made under another name, reaches the disk, gets its name; then one
transaction empties ``open.db`` and notes up to which arrival entries are sealed. Whatever happens in between, a file
that contains later arrivals than noted is not valid yet, and its entries are in ``open.db`` still.
"""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from typing import NamedTuple

OPEN_NAME = "open.db"
SEGMENTS_NAME = "segments"
CORRUPT_NAME = "corrupt"

_NAME = re.compile(r"(\d{14})-(\d+)-([0-9a-f]{16})-([0-9a-f]{16})\.db")


class SegmentFile(NamedTuple):
    """A sealed segment, as its name describes it.

    Attributes:
        last: The number of the last of its entries in the order of arrival.
        entries: The number of its entries.
        low: Its smallest id.
        high: Its largest id.
    """

    last: int
    entries: int
    low: int
    high: int

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"{self.last:014d}-{self.entries}-{self.low:016x}-{self.high:016x}.db"


def segment_files(folder: Path) -> list[SegmentFile]:
    """Return the sealed segments in a folder, in the order of arrival."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 -- for each query, and Path.iterdir makes an object of each
    except FileNotFoundError:
        return []
    matches = (_NAME.fullmatch(name) for name in names)
    found = [
        SegmentFile(int(last), int(entries), int(low, 16), int(high, 16))
        for last, entries, low, high in (match.groups() for match in matches if match)
    ]
    return sorted(found)


def is_corrupt(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file itself is broken, rather than the disk full or the statement wrong."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def set_aside(folder: Path, path: Path) -> None:
    """Move a file that cannot be read, and SQLite's files beside it, to where nobody reads it."""
    (folder / CORRUPT_NAME).mkdir(mode=0o700, exist_ok=True)
    for suffix in ("", "-wal", "-shm"):
        each = path.with_name(path.name + suffix)
        if each.exists():
            each.replace(folder / CORRUPT_NAME / each.name)


def corrupt_files(folder: Path) -> tuple[str, ...]:
    """Return the names of the files that were set aside."""
    try:
        return tuple(sorted(path.name for path in (folder / CORRUPT_NAME).iterdir() if path.suffix == ".db"))
    except FileNotFoundError:
        return ()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
