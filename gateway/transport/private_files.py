"""Files and folders that only their owner can read: they hold events and secrets."""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

import structlog

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""The permission bits of everybody but the owner."""

log = structlog.get_logger()


def make_private_folder(path: Path) -> None:
    """Make the folder at ``path`` if it is missing, and take the permissions of others away.

    A folder that belongs to somebody else, or that others use (one with the sticky bit, or above the home or current
    folder), keeps its permissions and is logged: the files in it are private in any case.

    Raises:
        OSError: The folder cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if not found.st_mode & _OTHERS:
        return
    is_shared = found.st_mode & stat.S_ISVTX or _is_above(path, Path.cwd()) or _is_above(path, Path.home())
    if is_shared or not _narrow(path):
        _warn(path, stat.filemode(found.st_mode))


def make_private(path: Path) -> None:
    """Make the file at ``path`` if it is missing, and take the permissions of others away.

    SQLite's own files beside it are treated alike.

    Raises:
        OSError: The file cannot be made.
    """
    # Only if it is missing: closing any descriptor of a file drops all locks of the process on it (POSIX), and so those of
    # other connections of SQLite. Another process would then delete the write-ahead log that they still write to.
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for suffix in ("", "-wal", "-shm"):  # SQLite gives the latter two the permissions of the first
        file = path.with_name(path.name + suffix)
        if file.exists() and file.stat().st_mode & _OTHERS and not _narrow(file):
            _warn(file, stat.filemode(file.stat().st_mode))


def private_opener(path: str, flags: int) -> int:
    """Open a file for :func:`open`; if it is made, only its owner can read it."""
    return os.open(path, flags, 0o600)


def _is_above(folder: Path, other: Path) -> bool:
    return other.resolve().is_relative_to(folder.resolve())


def _narrow(path: Path) -> bool:
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)
    except OSError:
        return False
    return True


@cache  # once for each path
def _warn(path: Path, mode: str) -> None:
    log.warning(
        "data readable by others",
        path=str(path),
        mode=mode,
        advice="remove the permissions of group and others",
    )
