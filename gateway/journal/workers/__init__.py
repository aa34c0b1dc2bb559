"""The workers that are alive: the last heartbeat of each process, for `gateway status` and the console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.journal.reports import Heartbeat

MAX_SILENCE = 35.0
"""Seconds after its last heartbeat at which a process counts as gone: three heartbeats and some."""

MAX_WORKERS = 1000
"""Processes that are remembered. Beyond that those silent for longest are forgotten."""


class Workers(Protocol):
    """The last heartbeat of each process of a worker. The methods may wait for a disk or a server."""

    def note(self, heartbeats: Sequence[Heartbeat]) -> None:
        """Remember heartbeats, of each process the newest; forget processes that have ended.

        Raises:
            OSError: They cannot be written.
        """

    def alive(self, now: float) -> list[Heartbeat]:
        """Return the last heartbeat of each process that is alive at ``now``, by queue, host and process.

        Raises:
            OSError: They cannot be read.
        """

    def close(self) -> None:
        """Close all files and connections."""
