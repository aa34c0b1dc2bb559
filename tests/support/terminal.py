"""A command on a terminal of its own, whose size the test chooses."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support.gateway_process import PROGRAM, environment
from support.waiting import PATIENCE

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A running command, and what it wrote to its terminal.

    Attributes:
        output: everything so far, with escapes.
    """

    def __init__(
        self, *words: str, cwd: Path, extra: Mapping[str, str] | None = None, columns: int = 80
    ) -> None:
        variables = environment({"TERM": "xterm-256color", **(extra or {})})
        del variables["COLUMNS"]
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.output = ""
        self.process = subprocess.Popen(
            [str(PROGRAM), *words],
            cwd=cwd,
            env=variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error:
            error.add_note(self.output[-4000:])
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def lines(self) -> list[str]:
        """What it wrote, line by line, without escapes."""
        return ESCAPE.sub("", self.output).replace("\r\n", "\n").splitlines()

    def wait_for(self, text: str, timeout: float = PATIENCE) -> None:
        """Read until ``text`` was written."""
        deadline = time.monotonic() + timeout
        while text not in ESCAPE.sub("", self.output):
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"{text!r} was not written")

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def stop(self) -> int:
        """Press Ctrl-C, read to the end, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE)
        try:
            chunk = os.read(self._ours, 65536) if ready else b""
        except OSError:  # the other side is closed
            return False
        self.output += chunk.decode("utf-8", "replace")
        return bool(chunk)
