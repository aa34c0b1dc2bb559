"""Room on the disk that is kept for the hour of need: on a full one, SQLite cannot even delete."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.transport.private_files import private_opener

_PIECE = 1024**2


class Reserve:
    """A file of zeros.

    Args:
        path: where it is.
        size: its bytes; with 0 there is none.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def make(self) -> bool:
        """Take the room, unless it is taken already; whether it is."""
        try:
            if self._size == 0:
                self._path.unlink(missing_ok=True)
            elif not self._path.exists() or self._path.stat().st_size != self._size:
                self._write()
        except OSError:
            self.give_up()
            return False
        return True

    def give_up(self) -> bool:
        """Let the room go; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def _write(self) -> None:
        with open(self._path, "wb", opener=private_opener) as file:
            file.writelines(bytes(min(_PIECE, self._size - start)) for start in range(0, self._size, _PIECE))
            file.flush()
            os.fsync(file.fileno())
