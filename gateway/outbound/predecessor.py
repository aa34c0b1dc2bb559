"""The process whose place this one takes: its leases need not be waited for, since it is certain that it has ended.

A process writes its name into a file of the data directory, and holds a lock on the file that ends with the process. The process
that gets the lock knows that the process named in the file is dead. One that is merely frozen keeps the lock, and its leases.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gateway.transport.file_lock import lock_file
from gateway.transport.private_files import make_private_folder

_FILE_NAME = "outbound.owner"

_MAX_NAME = 1024


class OwnerFile:
    """The file with the name of the process that delivers for one data directory.

    Where it cannot be written or locked, nothing is known of a predecessor, and its leases end by themselves.

    Args:
        data_dir: The data directory.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def claim(self) -> str:
        """Lock the file; return the name of the process that has ended, empty if none is known."""
        with suppress(OSError, ValueError):
            make_private_folder(self._data_dir)
            self._descriptor = lock_file(self._data_dir / _FILE_NAME)
            if self._descriptor is not None:
                return os.pread(self._descriptor, _MAX_NAME, 0).decode()
        return ""

    def note(self, owner: str) -> None:
        """Write the name of this process, for its successor."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, owner.encode(), 0)

    def close(self) -> None:
        """Let go of the file: this process owns nothing any more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
