"""Reading files of a bounded size: a setting may name a device or a file of gigabytes by mistake."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO


class FileTooLarge(OSError):
    """Raised when a file has more bytes than its reader accepts."""

    def __init__(self) -> None:
        super().__init__(errno.EFBIG, os.strerror(errno.EFBIG))


def read_file(path: Path, max_size: int) -> bytes:
    """Return the content of the file at ``path``, which has at most ``max_size`` bytes.

    Raises:
        FileTooLarge: The file has more bytes; no more than ``max_size`` + 1 were read.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return read_stream(file, max_size)


def read_stream(stream: BinaryIO, max_size: int) -> bytes:
    """Return the rest of ``stream``, which has at most ``max_size`` bytes.

    Raises:
        FileTooLarge: The stream has more bytes.
        OSError: The stream cannot be read.
    """
    content = stream.read(max_size + 1)
    if len(content) > max_size:
        raise FileTooLarge
    return content
