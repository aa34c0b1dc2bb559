"""The files of the spools in a folder, and who owns them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from pathlib import Path

_NAME = re.compile(r"spool-([0-9]{1,4})\.db")
_ATTEMPTS = 5
_BETWEEN_ATTEMPTS = 0.1


class SpoolInUse(OSError):
    """Another process owns the file: two that drain one would publish everything twice."""


def spool_path(folder: Path, slot: int) -> Path:
    """Return the path of the spool of the process in ``slot``."""
    return folder / f"spool-{slot}.db"


def spool_files(folder: Path) -> dict[int, Path]:
    """The spools that are in ``folder``, by slot, in order."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("spool-*.db"))
    return {slot: spool_path(folder, slot) for slot in sorted(int(name[1]) for name in names if name)}


def left_behind(folder: Path, slot: int, slots: int) -> list[Path]:
    """Return the spools of slots that are no longer configured and that fall to ``slot`` of ``slots``."""
    return [path for other, path in spool_files(folder).items() if other >= slots and other % slots == slot]


def delete_database(path: Path) -> None:
    """Remove an SQLite file. Its log goes first: a new file must never find the log of an old one."""
    for suffix in ("-wal", "", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class Ownership:
    """The right to write the spool at ``path``, which ends with the process that has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    async def take(self) -> None:
        """Done when the spool is ours; one that ends just now, or only looks, is waited for.

        Raises:
            SpoolInUse: another process keeps it.
        """
        for _ in range(_ATTEMPTS):
            self._descriptor = _lock(self._path)
            if self._descriptor is not None:
                return
            await asyncio.sleep(_BETWEEN_ATTEMPTS)
        raise SpoolInUse(f"{self._path} belongs to another gateway; give each its own data_dir")

    def give_back(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_owned(path: Path) -> bool:
    """Whether a process owns the spool at ``path``."""
    if not path.with_suffix(".lock").exists():
        return False
    descriptor = _lock(path)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _lock(path: Path) -> int | None:
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
