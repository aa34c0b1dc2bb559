"""Write to a descriptor only as much as it takes at once, whatever other processes do with it.

The flag O_NONBLOCK belongs to what was opened, which processes share: setting it on standard output would surprise all
others that write there. So a pipe is opened again, and a socket gets a flag with each call.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

ATOMIC_SIZE = select.PIPE_BUF
"""Bytes that a pipe takes atomically. A larger write could mix with those of other processes to the same pipe."""

_FILE_WRITE_SIZE = 65_536
"""Bytes of one write to a regular file, which is atomic at any size."""


class Outlet(NamedTuple):
    """A way to a descriptor on which no write waits.

    Attributes:
        write: Writes some bytes and returns their number. Raises BlockingIOError if it would have to wait to write any.
        close: Closes what was opened for this way.
        atomic_size: Bytes that are written as a whole, or not at all.
    """

    write: Callable[[bytes], int]
    close: Callable[[], None]
    atomic_size: int


def open_outlet(descriptor: int) -> Outlet | None:
    """Open a way to ``descriptor`` on which no write waits for its reader; return None if there is none.

    A regular file has no reader: what is written goes to the memory of the system. For terminals there is no way.
    """
    mode = os.fstat(descriptor).st_mode
    try:
        if stat.S_ISREG(mode):
            return Outlet(partial(os.write, descriptor), _nothing, _FILE_WRITE_SIZE)
        if stat.S_ISFIFO(mode):
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return Outlet(partial(os.write, again), partial(os.close, again), ATOMIC_SIZE)
        if stat.S_ISSOCK(mode):
            connection = socket.socket(fileno=os.dup(descriptor))
            return Outlet(
                lambda text: connection.send(text, socket.MSG_DONTWAIT), connection.close, ATOMIC_SIZE
            )
    except OSError:  # no /proc, or a pipe of another user
        pass
    return None


def _nothing() -> None:
    """Leave open what was not opened here."""
