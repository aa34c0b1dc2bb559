"""The files of the spools in a folder, and the locks of the processes that own them."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from gateway.transport.file_lock import lock_file

_NAME = re.compile(r"spool-([0-9]{1,4})\.db")

_LOCK_ATTEMPTS = 5
"""Attempts to lock a file: a process that is ending, or a command that looks at the file, has it for a moment."""

_RETRY_DELAY = 0.1
"""Seconds between two attempts."""


class SpoolInUse(OSError):
    """Raised when another process owns the file; two would publish everything twice."""


def spool_path(folder: Path, slot: int) -> Path:
    """Return the path of a process's spool."""
    return folder / f"spool-{slot}.db"


def spool_files(folder: Path) -> dict[int, Path]:
    """Return the paths of the spools in ``folder``, by slot, in order."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("spool-*.db"))
    return {slot: spool_path(folder, slot) for slot in sorted(int(name[1]) for name in names if name)}


def orphaned_spools(folder: Path, slot: int, slots: int) -> list[Path]:
    """Return the spools of ended processes that process ``slot`` of ``slots`` has to drain."""
    return [path for other, path in spool_files(folder).items() if other >= slots and other % slots == slot]


def delete_database(path: Path) -> None:
    """Remove an SQLite file, its WAL first: a new file must never find the WAL of an old one."""
    for suffix in ("-wal", "", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class Ownership:
    """The right to write the spool at ``path``: a lock on a file, which ends with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    async def acquire(self) -> None:
        """Lock the spool, and wait half a second for a process that is ending or only looks.

        Raises:
            SpoolInUse: Another process owns it.
        """
        for _ in range(_LOCK_ATTEMPTS):
            self._descriptor = _lock(self._path)
            if self._descriptor is not None:
                return
            await asyncio.sleep(_RETRY_DELAY)
        raise SpoolInUse(f"{self._path} belongs to another gateway; give each its own data_dir")

    def release(self) -> None:
        """Unlock the spool."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_owned(path: Path) -> bool:
    """Return whether a process owns the spool at ``path``."""
    if not path.with_suffix(".lock").exists():
        return False
    descriptor = _lock(path)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _lock(path: Path) -> int | None:
    return lock_file(path.with_suffix(".lock"))
