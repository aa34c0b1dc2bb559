"""Put reports into the journal, and acknowledge them only then.

A reader that dies in between receives its last reports again; the journal adds an entry once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import structlog

from gateway.journal import Journal
from gateway.journal.bounds import MAX_WORD
from gateway.journal.entry import cut
from gateway.journal.reports import Heartbeat, ReceivedReport, ReportSource
from gateway.journal.workers import Workers

OpenSource = Callable[[], AbstractAsyncContextManager[ReportSource]]
"""Opens the queue of reports."""

_BATCH_SIZE = 20
"""Reports that go into the journal at once, of up to 200 entries each."""

_WAIT = 5.0
"""Seconds that a reader waits for a report before it looks again."""

_MAX_HEARTBEATS = 100
"""Heartbeats of one report; ours have one."""

_MAX_PID = 2**31 - 1
"""The largest number of a process."""

_DRAIN_WAIT = 0.3
"""Seconds without a report after which the queue counts as empty: RabbitMQ needs a moment to begin to deliver."""

_DRAIN_TIMEOUT = 2.0
"""Seconds after which a command goes on, whatever still waits."""

_FIRST_DELAY, _MAX_DELAY = 1.0, 30.0
"""Seconds before the queue is opened again after a failure; the delay doubles with each."""

log = structlog.get_logger()


async def receive_reports(open_source: OpenSource, journal: Journal, workers: Workers) -> None:
    """Put reports into the journal until the task is cancelled, whatever fails meanwhile."""
    delay, failure = _FIRST_DELAY, ""
    while True:
        try:
            async with open_source() as source:
                while True:
                    await _receive_batch(source, journal, workers, _WAIT)
                    delay, failure = _FIRST_DELAY, ""
        except Exception as error:  # noqa: BLE001 -- the console must go on without the workers' side
            cause = str(error) or type(error).__name__
            if cause != failure:  # logged once, not at every attempt
                log.warning("reports not received", cause=cause)
            failure = cause
        await asyncio.sleep(delay)
        delay = min(delay * 2, _MAX_DELAY)


async def drain_reports(open_source: OpenSource, journal: Journal, workers: Workers) -> int:
    """Put reports that wait into the journal, for a command where no console runs; return the number of entries.

    It takes two seconds at most, because busy workers send faster than a queue becomes empty.

    Raises:
        OSError: The broker, the journal or the table of workers is away.
    """
    count = 0
    async with open_source() as source:
        until = time.monotonic() + _DRAIN_TIMEOUT
        while time.monotonic() < until and (
            batch := await _receive_batch(source, journal, workers, _DRAIN_WAIT)
        ):
            count += sum(len(received.report.entries) for received in batch)
    return count


async def _receive_batch(
    source: ReportSource, journal: Journal, workers: Workers, wait: float
) -> list[ReceivedReport]:
    """Receive reports, put them into the journal and acknowledge them; return them, none if none came in time."""
    batch: list[ReceivedReport] = []
    while len(batch) < _BATCH_SIZE and (received := await source.receive(0 if batch else wait)):
        batch.append(received)
    if batch:
        await asyncio.to_thread(_keep, batch, journal, workers)
    for received in batch:
        await source.acknowledge(received)
    return batch


def _keep(batch: list[ReceivedReport], journal: Journal, workers: Workers) -> None:
    entries = [entry for received in batch for entry in received.report.entries]
    if entries:
        journal.append(entries)
    heartbeats = [
        _bounded(heartbeat)
        for received in batch
        for heartbeat in received.report.heartbeats[:_MAX_HEARTBEATS]
    ]
    if heartbeats:
        workers.note(heartbeats)


def _bounded(heartbeat: Heartbeat) -> Heartbeat:
    """Return the heartbeat as every table can keep it; none is of the future."""
    now = time.time()
    texts = {name: _bounded_text(getattr(heartbeat, name)) for name in ("queue", "host", "version", "paused")}
    return msgspec.structs.replace(
        heartbeat, **texts, pid=heartbeat.pid & _MAX_PID, at=min(max(heartbeat.at, 0.0), now)
    )


def _bounded_text(text: str) -> str:
    return cut(text.replace("\0", "\ufffd"), MAX_WORD)
