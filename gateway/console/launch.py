"""Start the console: a fresh program that gets its sockets and the shared memory by their descriptors.

It is executed, not forked. A fork of a receiving process would copy an event loop, threads and connections in whatever state
they are, and would keep the memory of both alive.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import gateway
from gateway.observability.logs import LogFormat

MODULE = "gateway.console"
"""What the interpreter runs. The command line of the gateway is not loaded: that takes 7 MiB of memory (2026-11-30)."""

_LEFT_TO_IT = {signal.SIGINT, signal.SIGHUP}
"""The signals that wait until the console handles them; the default action would end it while it starts."""


class Descriptors(msgspec.Struct, frozen=True):
    """The numbers of the open files that the console inherits.

    Attributes:
        admin: The sockets of the admin listener.
        counters: The memory of :class:`gateway.observability.shared_memory.SharedCounters`.
        readiness: The memory of :class:`gateway.observability.readiness.ReadinessBoard`.
        captures: The memory of :class:`gateway.journal.capture.CaptureRing`; None if no request is kept.
        lifeline: A pipe that nobody writes to; it ends with the gateway, in whatever way that ends.
    """

    admin: list[int]
    counters: int
    readiness: int
    captures: int | None
    lifeline: int

    def all(self) -> list[int]:
        """Return all numbers."""
        captures = [] if self.captures is None else [self.captures]
        return [*self.admin, self.counters, self.readiness, *captures, self.lifeline]


class LauncherVersion(msgspec.Struct, frozen=True):
    """What every version of the console understands of its settings.

    Attributes:
        version: The version of the gateway. After an upgrade, the files on disk are another program.
        log_format: How the lines of the log look.
    """

    version: str
    log_format: LogFormat = "json"


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the console receives when it starts; see :class:`ConsoleLauncher` for most of it.

    Attributes:
        version: The version of the gateway; see :class:`LauncherVersion`.
        parent: The process that starts it.
        predecessor: How the console ended whose place this one takes; empty for the first.
        starts: How many consoles there were before.
    """

    config: str
    bind: list[str] | None
    admin_bind: list[str] | None
    is_dev: bool
    log_format: LogFormat
    slots: int
    descriptors: Descriptors
    version: str
    parent: int
    predecessor: str
    starts: int


@dataclass(frozen=True, kw_only=True)
class ConsoleLauncher:
    """Starts consoles for one gateway.

    Args:
        config: The path of the configuration.
        bind: The addresses that the command line sets in place of ``server.bind``.
        admin_bind: The same of ``server.admin_bind``.
        is_dev: Whether the secrets of ``gateway dev`` belong to the configuration.
        log_format: How the lines of its log look.
        slots: The number of receiving processes.
        counters: The descriptor of their numbers.
        readiness: The descriptor of their readiness.
        captures: The descriptor of the requests that they refused; None if they keep none.
        output: Where its log goes: a descriptor, ``subprocess.PIPE``, or None for the standard output of this process.
    """

    config: Path
    bind: list[str] | None
    admin_bind: list[str] | None
    is_dev: bool
    log_format: LogFormat
    slots: int
    counters: int
    readiness: int
    captures: int | None
    output: int | None = None
    _pipe: tuple[int, int] = field(default_factory=os.pipe, init=False)

    def start(
        self, admin: list[socket.socket], predecessor: str = "", starts: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start a console, which serves ``admin``. Call it on the main thread: the console ends with the thread.

        Args:
            admin: The sockets of the admin listener.
            predecessor: How the one before it ended.
            starts: How many there were before.

        Raises:
            OSError: The system has no memory or no process left.
        """
        sockets = [each.fileno() for each in admin]
        descriptors = Descriptors(sockets, self.counters, self.readiness, self.captures, self._pipe[0])
        settings = ConsoleSettings(
            config=str(self.config.absolute()),
            bind=self.bind,
            admin_bind=self.admin_bind,
            is_dev=self.is_dev,
            log_format=self.log_format,
            slots=self.slots,
            descriptors=descriptors,
            version=gateway.__version__,
            parent=os.getpid(),
            predecessor=predecessor,
            starts=starts,
        )
        command = [sys.executable, *_flags(), "-m", MODULE, msgspec.json.encode(settings).decode()]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_TO_IT)
        try:
            return subprocess.Popen(  # noqa: S603 -- our own program
                command, stdin=subprocess.DEVNULL, stdout=self.output, pass_fds=descriptors.all()
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def disown(self) -> None:
        """Let go of the console's life in a process that was forked from the one that starts it."""
        os.close(self._pipe[1])


def _flags() -> list[str]:
    """Return the interpreter's flags: the working directory has no part in it, except in a source tree that is not installed."""
    home = Path(gateway.__file__).resolve().parent.parent
    return [] if home == Path.cwd() else ["-P"]
