"""The raw files: lines that processes have appended, in ``<data_dir>/journal/raw``.

A file is named ``<slot>-<number>.jsonl``. Its writer keeps a lock on it, and opens another one when it is full or no longer
there. The indexer renames a large file that it has read to ``.done``, and deletes a file that nobody has locked once all
that was in it is in a sealed segment. So nothing is lost if the segment that is being written becomes corrupt.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.journal.entry import Entry, cut
from gateway.journal.forgetting import forgotten
from gateway.journal.intake import Positions

RAW_NAME = "raw"
WRITING = ".jsonl"
"""The extension of a file that a process may append to."""

DONE = ".done"
"""The extension of a file that its process is to write no more."""

_NAME = re.compile(r"(\d{1,9})-(\d{1,18})(\.jsonl|\.done)")


class RawFile(NamedTuple):
    """A raw file.

    Attributes:
        slot: The number of the process that writes it.
        number: Its number among the files of the process.
        path: Where it is.
        inode: Its number in the file system.
        size: Its size in bytes.
        changed_at: When it was last written to, in Unix seconds.
    """

    slot: int
    number: int
    path: Path
    inode: int
    size: int
    changed_at: float

    @property
    def name(self) -> str:
        """Its name without the extension, which changes."""
        return self.path.stem


def raw_folder(data_dir: Path) -> Path:
    """Return the folder of the raw files in a data directory."""
    return data_dir / "journal" / RAW_NAME


def raw_files(folder: Path) -> list[RawFile]:
    """Return the raw files in a folder, of each process the oldest first."""
    files = []
    try:
        with os.scandir(folder) as found:
            for each in found:
                if match := _NAME.fullmatch(each.name):
                    try:
                        stat = each.stat()
                    except FileNotFoundError:
                        continue
                    files.append(
                        RawFile(
                            int(match[1]),
                            int(match[2]),
                            Path(each.path),
                            stat.st_ino,
                            stat.st_size,
                            stat.st_mtime,
                        )
                    )
    except FileNotFoundError:
        return []
    return sorted(files)


def unread_size(folder: Path, positions: Positions) -> int:
    """Return how many bytes of the raw files are behind the positions."""
    size = 0
    for file in raw_files(folder):
        position = positions.get(file.name)
        read = position.offset if position and position.inode == file.inode else 0
        size += max(file.size - read, 0)
    return size


def erase_lines(folder: Path, event_id: str, provider: str) -> None:
    """Erase the texts of an event from lines of raw files, whether or not they are indexed.

    A line keeps its length, so that neither positions nor the process that appends notice.

    Raises:
        OSError: A file cannot be written.
    """
    event_id = cut(event_id)
    needle = msgspec.json.encode(event_id)[1:-1]
    decoder = msgspec.json.Decoder(Entry)
    for file in raw_files(folder):
        with file.path.open("r+b") as opened:
            start = 0
            for line in opened:
                if needle in line:
                    try:
                        entry = decoder.decode(line)
                    except msgspec.MsgspecError:
                        entry = None
                    if entry and entry.event_id == event_id and provider in {"", entry.provider}:
                        replaced = msgspec.json.encode(forgotten(entry))
                        os.pwrite(opened.fileno(), replaced.ljust(len(line) - 1), start)
                start += len(line)
