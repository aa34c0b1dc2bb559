"""Disk space held back so that SQLite can still delete rows when the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.transport.private_files import private_opener

_CHUNK_SIZE = 1024**2
"""Bytes written at once, so that the whole reserve is never in memory."""


class DiskReserve:
    """A file of zeros, which is deleted when its space is needed.

    Args:
        path: The file.
        size: Its size in bytes; 0 for no reserve.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def acquire(self) -> bool:
        """Write the file, unless it is there already; return whether it is there now."""
        try:
            if self._size == 0:
                self._path.unlink(missing_ok=True)
            elif not self._path.exists() or self._path.stat().st_size != self._size:
                self._write()
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Delete the file; return whether there was one."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _write(self) -> None:
        with open(self._path, "wb", opener=private_opener) as file:
            file.writelines(
                bytes(min(_CHUNK_SIZE, self._size - start)) for start in range(0, self._size, _CHUNK_SIZE)
            )
            file.flush()
            os.fsync(file.fileno())
