"""Open the journal for a command: with what processes wrote and workers reported, whether or not a console runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.backends import has_embedded_queue, open_indexer, open_journal, open_report_source, open_workers
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.journal import JOURNAL_FOLDER, Journal
from gateway.journal.reports.receiver import drain_reports
from gateway.transport.embedded import Database

_BUDGET = 5.0
"""Seconds for what no console has indexed yet."""

_DRAIN_TIMEOUT = 3.0
"""Seconds for the reports of workers that no console has read yet."""


@asynccontextmanager
async def reading_journal(config: Config) -> AsyncIterator[Journal]:
    """Open the journal, as complete as it can be.

    Reports of workers are read only where no console does that, and only where this machine has a journal: elsewhere they
    would be missing in the journal that they belong to.

    Raises:
        OperatorError: The journal is off, or cannot be read.
    """
    if not config.journal.enabled:
        raise OperatorError("there is no journal: journal.enabled is false")
    journal: Journal | None = None
    try:
        await catch_up(config)
        journal = open_journal(config, writable=False)
        yield journal
    except OSError as error:
        raise OperatorError(f"the journal cannot be read: {error}") from error
    finally:
        if journal is not None:
            journal.close()


async def catch_up(config: Config) -> None:
    """Index what nobody has indexed, and read the reports that nobody has read, if no console runs."""
    if not (config.data_dir / JOURNAL_FOLDER).exists():
        return
    if has_embedded_queue(config) and not Database(config.data_dir).path.exists():
        return
    journal = open_journal(config, writable=True)
    try:
        # A full disk, a folder of another user, a broker that is away: what is indexed can be read.
        with suppress(OSError, OperatorError):
            is_ours = await asyncio.to_thread(open_indexer(config, journal).try_to_catch_up, _BUDGET)
            if is_ours:
                await _drain(config, journal)
    finally:
        journal.close()


async def _drain(config: Config, journal: Journal) -> None:
    workers = open_workers(config)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                await drain_reports(lambda: open_report_source(config), journal, workers)
    finally:
        workers.close()
