"""Build the console from its configuration: what it reads, what it does beside serving pages, and its application."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from gateway.config import Config
from gateway.console.app import console_app
from gateway.console.frame import Frame
from gateway.console.security.access import Access
from gateway.console.tasks import Tasks, repeat
from gateway.journal.writer import JournalWriter

_PRUNE_DELAY = 60.0
"""Seconds between two looks for entries that are too old, or too many."""

log = structlog.get_logger()


class Assembly:
    """All parts of one console that need the configuration.

    Args:
        config: The configuration at the start. What a reload may change is read from :attr:`config`.
        folder: The folder of the configuration.
        frame: Metrics and health.
        slots: The number of receiving processes.

    Attributes:
        config: The configuration in force.
        problems: What was wrong with the configuration at the last reload.
        app: Serves pages and API.

    Raises:
        OSError: The data directory cannot be used.
    """

    def __init__(self, config: Config, folder: Path, frame: Frame, slots: int) -> None:
        self.config = config
        self.problems: tuple[str, ...] = ()
        self._access = Access(config.data_dir)
        self._journal = open_journal(config, writable=True)
        self._indexer = open_indexer(config, self._journal)
        self._writer = JournalWriter(config.data_dir / "journal", slots)
        self._tasks = Tasks()
        self.app: ASGIApp = console_app(self._services(folder, frame))

    def start(self) -> None:
        """Begin with everything beside serving pages."""
        config = self.config
        self._writer.start()
        self._indexer.start()
        self._tasks.start("reports", self._receive_reports)
        self._tasks.start("retention", lambda: repeat(self._prune, _PRUNE_DELAY))
        if self._access.make_first_token():
            log.info("no login yet", command="gateway console link")

    async def stop(self) -> None:
        """End all of it, and close the journal."""
        await self._tasks.stop()
        await asyncio.to_thread(self._close)
