"""Programs that the gateway starts beside itself, and that end with it.

They are executed, not forked. A fork of a receiving process would copy an event loop, threads and connections in whatever
state they are, and would keep the memory of both alive.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import gateway

_LEFT_TO_IT = {signal.SIGINT, signal.SIGHUP}
"""The signals that wait until the program handles them; the default action would end it while it starts."""

_GC_THRESHOLD = 20_000
"""Allocations between two collections of the youngest objects. The default, 700, would run one in every few requests."""

_PR_SET_PDEATHSIG = 1
"""The operation of ``prctl`` that has the kernel send a signal when the parent ends."""


class Lifeline:
    """A pipe that nobody writes to. Its reader, which a program inherits, ends with the process that has the writer."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def disown(self) -> None:
        """Let go of it in a process that was forked from the one that starts the program."""
        os.close(self._writer)


def start_program(
    module: str, settings: bytes, descriptors: Sequence[int], output: int | None = None
) -> subprocess.Popen[bytes]:
    """Run a module of the gateway. Call it on the main thread: the program ends with the thread.

    Args:
        module: The module, which gets the settings as its only argument.
        settings: The settings, in JSON.
        descriptors: The open files that it inherits, under the same numbers.
        output: Where its log goes: a descriptor, ``subprocess.PIPE``, or None for the standard output of this process.

    Raises:
        OSError: The system has no memory or no process left.
    """
    command = [sys.executable, *_flags(), "-m", module, settings.decode()]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_TO_IT)
    try:
        return subprocess.Popen(  # noqa: S603 -- our own program
            command, stdin=subprocess.DEVNULL, stdout=output, pass_fds=descriptors
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def receive_left_signals() -> None:
    """Receive, in the program, the signals that waited for it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _LEFT_TO_IT)


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends, in whatever way: what it holds must be free for the next gateway."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def _flags() -> list[str]:
    """Return the interpreter's flags: the working directory has no part in it, except in a source tree that is not installed."""
    home = Path(gateway.__file__).resolve().parent.parent
    return [] if home == Path.cwd() else ["-P"]


def settle_memory() -> None:
    """Exclude what lives as long as the process from garbage collection.

    A full collection would walk hundreds of thousands of such objects while every request waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
