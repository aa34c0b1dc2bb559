"""Build the console from its configuration: what it reads, what it does beside serving pages, and its application."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from gateway.backends import open_indexer, open_journal, open_report_source, open_workers
from gateway.config import Config
from gateway.console.app import console_app
from gateway.console.frame import Frame
from gateway.console.observed_metrics import Observed, keep_observing
from gateway.console.pages import Pages
from gateway.console.security.access import Access
from gateway.console.services import Services
from gateway.console.tasks import Tasks
from gateway.journal import JOURNAL_FOLDER
from gateway.journal.capture import CaptureRing
from gateway.journal.reports.receiver import receive_reports
from gateway.journal.sampler import Sampler
from gateway.journal.writer import JournalWriter
from gateway.observability.shared_memory import SharedCounters
from gateway.operations.certificates import certificate_ends
from gateway.operations.gateway_probe import processes_of
from gateway.operations.secrets import secret_evidence
from gateway.operations.status import ProcessesStatus, status

log = structlog.get_logger()


class Assembly:
    """All parts of one console that need the configuration.

    Args:
        config: The configuration at the start.
        folder: The folder of the configuration.
        frame: Metrics and health.
        counters: The numbers of the receiving processes. The console writes to the journal as one more process.
        captures: The refused requests; None if none are kept.

    Attributes:
        config: The configuration in force, which a reload replaces.
        problems: What was wrong with the configuration at the last reload.
        app: Serves pages and API.

    Raises:
        OSError: The data directory cannot be used.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        frame: Frame,
        counters: SharedCounters,
        captures: CaptureRing | None,
    ) -> None:
        self.config = config
        self.problems: tuple[str, ...] = ()
        self._access = Access(config.data_dir)
        self._journal = open_journal(config, writable=True)
        self._indexer = open_indexer(config, self._journal)
        journal_folder = config.data_dir / JOURNAL_FOLDER
        self._sampler = Sampler(counters, self._journal, journal_folder)
        self._writer = JournalWriter(journal_folder, len(counters.regions))
        self._tasks = Tasks()
        self._frame = frame
        self._workers = open_workers(config)
        services = Services(
            config=lambda: self.config,
            folder=folder,
            journal=self._journal,
            access=self._access,
            health=frame.health,
            render_metrics=frame.render_metrics,
            report=self._writer.write,
            workers=self._workers,
            refusals=captures,
            processes=self._processes,
            reload_problems=lambda: self.problems,
        )
        self._jobs = services.jobs
        pages = Pages(services)
        self.app: ASGIApp = console_app(
            services, pages.routes(), render_login=pages.render_login, render_problem=pages.render_problem
        )

    async def start(self) -> None:
        """Begin with everything beside serving pages."""
        if self.config.journal.enabled:
            self._writer.start()
            self._indexer.start()
            self._sampler.start()
            self._tasks.start("reports", self._receive_reports)
        self._tasks.start("observing", lambda: keep_observing(self._frame.observed, self._observe))
        if self.config.console.auth == "token" and not await asyncio.to_thread(self._access.tokens.list):
            log.info("the console has no tokens yet", command="gateway console link")

    async def stop(self) -> None:
        """End all of it, and close the journal."""
        await self._jobs.stop()
        await self._tasks.stop()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.stop()
        self._sampler.stop()
        self._indexer.stop()
        self._journal.close()
        self._access.close()

    async def _observe(self) -> Observed:
        now = time.time()
        found = await status(self.config, self._journal, now=now, processes=self._processes())
        workers = await asyncio.to_thread(self._workers.alive, now)
        secrets = await asyncio.to_thread(secret_evidence, self.config, self._journal, now=now)
        certificates = await asyncio.to_thread(certificate_ends, self.config)
        return Observed(found, tuple(workers), tuple(secrets), tuple(certificates))

    def _processes(self) -> ProcessesStatus:
        readiness = self._frame.readiness
        checks = {part: reason or "ok" for part, reason in readiness.reasons().items()}
        text = self._frame.render_metrics().decode()
        return processes_of(self.config, text, checks, is_ready=readiness.is_ready())

    async def _receive_reports(self) -> None:
        source = partial(open_report_source, self.config)
        await receive_reports(source, self._journal, self._workers)
