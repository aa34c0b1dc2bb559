"""Start the process of the way out: a fresh program, which shares its numbers with the one that is scraped."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import gateway
from gateway.observability.launched import LaunchSettings
from gateway.observability.logs import LogFormat
from gateway.transport.program import Lifeline, start_program

MODULE = "gateway.hosting.outbound"
"""What the interpreter runs. The command line of the gateway is not loaded."""

END_TIMEOUT = 30.0
"""Seconds that the process has for its end: its attempts have 20 of them, and then their outcomes are written."""


class OutboundSettings(LaunchSettings, frozen=True, kw_only=True):
    """What the process receives when it starts; see :class:`OutboundLauncher`."""

    config: str
    is_dev: bool
    counters: int


@dataclass(frozen=True, kw_only=True)
class OutboundLauncher:
    """Starts the process of the way out for one gateway.

    Args:
        config: The path of the configuration.
        is_dev: Whether the secrets of ``gateway dev`` belong to the configuration.
        log_format: How the lines of its log look.
        counters: The descriptor of its numbers.
        output: Where its log goes; None for the standard output of this process.

    Attributes:
        lifeline: Ends the process with the gateway.
    """

    config: Path
    is_dev: bool
    log_format: LogFormat
    counters: int
    output: int | None = None
    lifeline: Lifeline = field(default_factory=Lifeline, init=False)

    def start(self, predecessor: str = "", starts: int = 0) -> subprocess.Popen[bytes]:
        """Start it; see :class:`gateway.hosting.child.Launcher`."""
        del starts  # it counts nothing of itself
        settings = OutboundSettings(
            config=str(self.config.absolute()),
            is_dev=self.is_dev,
            log_format=self.log_format,
            counters=self.counters,
            version=gateway.__version__,
            lifeline=self.lifeline.reader,
            parent=os.getpid(),
            predecessor=predecessor,
        )
        descriptors = [self.counters, self.lifeline.reader]
        return start_program(MODULE, msgspec.json.encode(settings), descriptors, self.output)
