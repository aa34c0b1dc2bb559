"""Start the console: a fresh program that gets its sockets and the shared memory by their descriptors."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import gateway
from gateway.observability.launched import LaunchSettings
from gateway.observability.logs import LogFormat
from gateway.transport.program import Lifeline, start_program

MODULE = "gateway.console"
"""What the interpreter runs. The command line of the gateway is not loaded: that takes 7 MiB of memory (2026-11-30)."""


class Descriptors(msgspec.Struct, frozen=True):
    """The numbers of the open files that the console inherits.

    Attributes:
        admin: The sockets of the admin listener.
        counters: The memory of :class:`gateway.observability.shared_memory.SharedCounters`.
        readiness: The memory of :class:`gateway.observability.readiness.ReadinessBoard`.
        captures: The memory of :class:`gateway.journal.capture.CaptureRing`; None if no request is kept.
        outbound: The memory of :func:`gateway.observability.outbound_counters.outbound_counters`.
    """

    admin: list[int]
    counters: int
    readiness: int
    captures: int | None
    outbound: int

    def all(self) -> list[int]:
        """Return all numbers."""
        captures = [] if self.captures is None else [self.captures]
        return [*self.admin, self.counters, self.readiness, *captures, self.outbound]


class ConsoleSettings(LaunchSettings, frozen=True, kw_only=True):
    """What the console receives when it starts; see :class:`ConsoleLauncher` for most of it.

    Attributes:
        starts: How many consoles there were before.
    """

    config: str
    bind: list[str] | None
    admin_bind: list[str] | None
    is_dev: bool
    slots: int
    descriptors: Descriptors
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
        outbound: The descriptor of the numbers of the way out.
        output: Where its log goes: a descriptor, ``subprocess.PIPE``, or None for the standard output of this process.

    Attributes:
        lifeline: Ends the console with the gateway.
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
    outbound: int
    output: int | None = None
    lifeline: Lifeline = field(default_factory=Lifeline, init=False)

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
        descriptors = Descriptors(sockets, self.counters, self.readiness, self.captures, self.outbound)
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
            lifeline=self.lifeline.reader,
            starts=starts,
        )
        inherited = [*descriptors.all(), self.lifeline.reader]
        return start_program(MODULE, msgspec.json.encode(settings), inherited, self.output)
