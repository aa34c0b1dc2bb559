"""The console as seen by the process that starts it: replaced when it ends, but never so often that it takes a core."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

from typing_extensions import override

from gateway.console.launch import ConsoleLauncher
from gateway.supervisor import Companion, describe_end

_SHORT_LIFE = 10.0
"""Seconds. A console that ends earlier is in trouble."""

_FIRST_PAUSE = 0.5
"""Seconds before any console is replaced. A service manager that ends all processes at once has reached the parent by then."""

_MAX_PAUSE = 30.0
"""Seconds. A start takes most of a second of CPU, so that a crash loop costs 3 % of a core."""

_END_TIMEOUT = 3.0
"""Seconds that the console has for its end before it is killed."""

_KILL_DELAY = 0.05
"""Seconds that a killed console takes at most to be gone, as a rule."""

_POLL_DELAY = 0.5
"""Seconds between two looks at the console where the system cannot report its end."""


class ConsoleChild(Companion):
    """The console of one gateway.

    Args:
        launcher: Starts it.
        admin: The sockets that it serves.

    Attributes:
        process: The console; None while none runs.
    """

    def __init__(self, launcher: ConsoleLauncher, admin: list[socket.socket]) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._launcher = launcher
        self._admin = admin
        self._started_at = self._due_at = 0.0
        self._kill_at: float | None = None
        self._pause = _FIRST_PAUSE
        self._predecessor = ""
        self._starts = 0

    @override
    def tend(self) -> float | None:
        now = time.monotonic()
        if self.process and (code := self.process.poll()) is not None:
            self._replace_later(describe_end(code))
        if self.process:
            return None
        if self._due_at <= now:
            self._started_at = now
            try:
                self.process = self._launcher.start(self._admin, self._predecessor, self._starts)
            except OSError as error:
                self._replace_later(f"cannot be started: {error}")
            else:
                self._starts += 1
                return None
        return max(0.0, self._due_at - now)

    @override
    def send(self, number: int) -> None:
        if self.process:
            self.process.send_signal(number)

    @override
    def end(self) -> float | None:
        if not self.process or self.process.poll() is not None:
            self.process = None
            return None
        now = time.monotonic()
        if self._kill_at is None:
            self._kill_at = now + _END_TIMEOUT
            self.process.terminate()
        elif self._kill_at <= now:
            self.process.kill()
        return max(_KILL_DELAY, self._kill_at - now)

    def _replace_later(self, how: str) -> None:
        now = time.monotonic()
        self.process = None
        self._predecessor = how
        if now - self._started_at >= _SHORT_LIFE:
            self._pause = _FIRST_PAUSE
        self._due_at = now + self._pause
        self._pause = min(2 * self._pause, _MAX_PAUSE)


class ConsoleKeeper:
    """Keeps a console running from an event loop, which must be that of the main thread.

    Args:
        launcher: Starts the console.
    """

    def __init__(self, launcher: ConsoleLauncher) -> None:
        self._launcher = launcher
        self._child: ConsoleChild | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watched: int | None = None
        self._is_ending = False
        self._has_ended = asyncio.Event()

    def start(self, admin: list[socket.socket]) -> None:
        """Start a console that serves ``admin``, and keep one running."""
        self._child = ConsoleChild(self._launcher, admin)
        self._tend(self._child)

    def reload(self) -> None:
        """Make it read the configuration again."""
        if self._child:
            self._child.send(signal.SIGHUP)

    async def stop(self) -> None:
        """End it, and return when it has ended."""
        if self._child:
            self._is_ending = True
            self._tend(self._child)
            await self._has_ended.wait()

    def _tend(self, child: ConsoleChild) -> None:
        self._unwatch()
        pause = child.end() if self._is_ending else child.tend()
        if self._is_ending and pause is None:
            self._has_ended.set()
            return
        if child.process and not self._watch(child, child.process.pid):
            pause = _POLL_DELAY if pause is None else min(pause, _POLL_DELAY)
        if pause is not None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._tend, child)

    def _watch(self, child: ConsoleChild, pid: int) -> bool:
        """Have the end of the console reported; return False where the system cannot."""
        if sys.platform != "linux":
            return False
        with suppress(OSError):  # a kernel before 5.3, or a sandbox
            self._watched = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(self._watched, self._tend, child)
        return self._watched is not None

    def _unwatch(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = None
