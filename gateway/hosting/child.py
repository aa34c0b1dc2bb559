"""A program beside the gateway, such as the console: replaced when it ends, but never so often that it takes a core."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from typing_extensions import override

from gateway.supervisor import Companion, describe_end

_SHORT_LIFE = 10.0
"""Seconds. A program that ends earlier is in trouble."""

_FIRST_PAUSE = 0.5
"""Seconds before any program is replaced. A service manager that ends all processes at once has reached the parent by then."""

_MAX_PAUSE = 30.0
"""Seconds. A start takes most of a second of CPU, so that a crash loop costs 3 % of a core."""

_KILL_DELAY = 0.05
"""Seconds that a killed program takes at most to be gone, as a rule."""

_POLL_DELAY = 0.5
"""Seconds between two looks at the program where the system cannot report its end."""


class Launcher(Protocol):
    """Starts a program."""

    def start(self, predecessor: str, starts: int) -> subprocess.Popen[bytes]:
        """Start one, on the main thread.

        Args:
            predecessor: How the one before it ended; empty for the first.
            starts: How many there were before.

        Raises:
            OSError: The system has no memory or no process left.
        """


class Child(Companion):
    """One program of a gateway.

    Args:
        launcher: Starts it.
        end_timeout: Seconds that it has for its end before it is killed.
        is_wanted: Returns whether it is to run: if not, it is not started, and not replaced when it ends.
        is_last: Whether it ends after the gateway's processes; else when they begin to.

    Attributes:
        process: The program; None while none runs.
    """

    def __init__(
        self,
        launcher: Launcher,
        end_timeout: float = 3.0,
        *,
        is_wanted: Callable[[], bool] = lambda: True,
        is_last: bool = True,
    ) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.is_last = is_last
        self._launcher = launcher
        self._end_timeout = end_timeout
        self._is_wanted = is_wanted
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
        if not self.process and not self._is_wanted():
            self._predecessor = ""  # whatever starts next replaces nothing
            return None
        if self.process:
            return None
        if self._due_at <= now:
            self._started_at = now
            try:
                self.process = self._launcher.start(self._predecessor, self._starts)
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
            self._kill_at = now + self._end_timeout
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


class ChildKeeper:
    """Keeps a program running from an event loop, which must be that of the main thread.

    Args:
        child: The program.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._timer: asyncio.TimerHandle | None = None
        self._watched: int | None = None
        self._has_started = self._is_ending = False
        self._has_ended = asyncio.Event()

    @property
    def is_last(self) -> bool:
        """Whether it ends after the gateway's processes."""
        return self._child.is_last

    def start(self) -> None:
        """Start it if it is wanted, and keep it running."""
        self._has_started = True
        self._tend()

    def reload(self) -> None:
        """Have it read the configuration again, or start it if it is wanted now."""
        self._child.send(signal.SIGHUP)
        if self._has_started and not self._is_ending:
            self._tend()

    def begin_end(self) -> None:
        """Ask it to end, without waiting for that."""
        if self._has_started and not self._is_ending:
            self._is_ending = True
            self._tend()

    async def stop(self) -> None:
        """End it, and return when it has ended."""
        self.begin_end()
        if self._has_started:
            await self._has_ended.wait()

    def _tend(self) -> None:
        self._unwatch()
        child = self._child
        pause = child.end() if self._is_ending else child.tend()
        if self._is_ending and pause is None:
            self._has_ended.set()
            return
        if child.process and not self._watch(child.process.pid):
            pause = _POLL_DELAY if pause is None else min(pause, _POLL_DELAY)
        if pause is not None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._tend)

    def _watch(self, pid: int) -> bool:
        """Have its end reported; return False where the system cannot."""
        if sys.platform != "linux":
            return False
        with suppress(OSError):  # a kernel before 5.3, or a sandbox
            self._watched = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(self._watched, self._tend)
        return self._watched is not None

    def _unwatch(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = None
