"""What a running ``gateway dev`` tells the commands of another terminal: its configuration and its address.

They are in a file of its data directory, which it locks. A file that is not locked was left behind by a process that was
killed, and says nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from gateway.transport.private_files import make_private_folder

_FILE_NAME = "dev.json"


@dataclass(frozen=True, slots=True)
class DevSession:
    """A ``gateway dev`` that runs.

    Attributes:
        config: The absolute path of its configuration.
        bind: The addresses of its public listener.
        pid: Its process.
        admin_bind: The addresses of its operator's listener.
    """

    config: Path
    bind: list[str]
    pid: int
    admin_bind: list[str] = field(default_factory=list)

    @classmethod
    def find(cls, data_dir: Path) -> DevSession | None:
        """Return the one that runs with this data directory, or None."""
        with suppress(OSError, ValueError, TypeError), (data_dir / _FILE_NAME).open() as file:
            if not _lock(file, fcntl.LOCK_SH):
                return cls(**json.load(file, object_hook=_with_path))
        return None

    @contextmanager
    def announced(self, data_dir: Path) -> Iterator[bool]:
        """Let others find this process within the block; yield False if another one is there already."""
        make_private_folder(data_dir)
        descriptor = os.open(data_dir / _FILE_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+") as file:
            is_first = _lock(file, fcntl.LOCK_EX)
            if is_first:
                file.truncate(0)
                json.dump(asdict(self) | {"config": str(self.config)}, file)
                file.flush()
            yield is_first


def _lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _with_path(members: dict[str, object]) -> dict[str, object]:
    return members | {"config": Path(str(members["config"]))}
