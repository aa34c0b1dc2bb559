"""How the gateway is: processes, spool, queues, stores, and what is wrong with what to do about it.

It works whether or not a gateway runs. Each part is asked on its own, for at most three seconds, and says so itself if
it cannot be asked.

The module has slightly more than 200 lines because each part has its own way to fail.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

from gateway.backends import has_embedded_claims, has_embedded_queue, open_claims
from gateway.claims import ClaimsUnavailable
from gateway.config import EMBEDDED, Config
from gateway.errors import OperatorError
from gateway.journal import Journal
from gateway.journal.query_language import format_moment
from gateway.journal.reports import Heartbeat
from gateway.operations.gateway_probe import ask_gateway
from gateway.operations.queue_status import live_workers, queue_status
from gateway.operations.status_models import (
    Problem,
    ProcessesStatus,
    QueueKind,
    QueueStatus,
    SpoolStatus,
    Status,
    StoreStatus,
)
from gateway.operations.status_problems import problems_of
from gateway.operations.wording import count, size_of, span
from gateway.publishers.spool.files import spool_files
from gateway.publishers.spool.inspect import summarize
from gateway.transport.embedded import Database
from gateway.transport.readiness import wait_ready

__all__ = [
    "Problem",
    "ProcessesStatus",
    "QueueKind",
    "QueueStatus",
    "SpoolStatus",
    "Status",
    "StoreStatus",
    "status",
]

PART_TIMEOUT = 3.0
"""Seconds that a part may take."""

_CONNECT_TIMEOUT = 2.0
"""Seconds to wait for the deduplication store."""

_MUCH_UNINDEXED = 1024**2
"""Bytes that are not indexed yet and worth mentioning: a second of many events."""

T = TypeVar("T")


async def status(
    config: Config,
    journal: Journal | None,
    *,
    now: float,
    processes: ProcessesStatus | None = None,
) -> Status:
    """Return how everything is.

    Args:
        config: The configuration.
        journal: The journal; None if it is off or cannot be opened.
        now: The time, in Unix seconds.
        processes: What the caller knows already, as the console does; by default the gateway is asked over HTTP.
    """
    gateway = _known(processes) if processes else ask_gateway(config)
    asked, spool, (claims, offset), kept, workers = await asyncio.gather(
        gateway, _spool(config), claims_status(config), _journal(config, journal), _workers(config, now)
    )
    broker, queues = await _queues(config, journal, workers, asked, now)
    found = Status(
        at=now,
        headline="",
        problems=(),
        processes=asked,
        spool=spool,
        queues=tuple(queues),
        broker=broker,
        claims=claims,
        archive=_archive(config, broker),
        journal=kept,
        clock_offset=offset,
    )
    problems = tuple(problems_of(config, found, workers))
    return replace(found, problems=problems, headline=_headline(problems))


def _headline(problems: tuple[Problem, ...]) -> str:
    if not problems:
        return "All well."
    more = f" And {len(problems) - 1} more." if len(problems) > 1 else ""
    return problems[0].text + more


async def _known(processes: ProcessesStatus) -> ProcessesStatus:
    return processes


async def _bounded(part: Awaitable[T]) -> T:
    """Wait for a part.

    Raises:
        OSError: It failed, or took too long; the text says why.
    """
    try:
        async with asyncio.timeout(PART_TIMEOUT):
            return await part
    except TimeoutError:
        raise OSError(f"no answer within {PART_TIMEOUT:g} s") from None
    except (OperatorError, ClaimsUnavailable, sqlite3.Error) as error:
        raise OSError(str(error) or type(error).__name__) from error


async def _spool(config: Config) -> SpoolStatus | None:
    files = spool_files(config.data_dir)
    if not files and (has_embedded_queue(config) or not config.spool.enabled):
        return None
    limit = config.spool.max_size
    try:
        found = await _bounded(asyncio.to_thread(lambda: [summarize(file) for file in files.values()]))
    except OSError as error:
        return SpoolStatus(0, 0, limit, None, 0, str(error))
    oldest = [each.oldest_at for each in found if each.oldest_at is not None]
    return SpoolStatus(
        sum(each.events for each in found),
        sum(each.size for each in found),
        limit,
        min(oldest, default=None),
        sum(each.corrupt for each in found),
    )


async def claims_status(config: Config) -> tuple[StoreStatus, float | None]:
    """Return how the deduplication store is, and by how much our clock is ahead of its."""
    is_embedded = has_embedded_claims(config)
    kind = EMBEDDED if is_embedded else "Redis"
    if is_embedded and not Database(config.data_dir).path.exists():
        return StoreStatus(kind, is_available=True, text="nothing yet"), None
    claims = open_claims(config, is_quiet=True)
    try:
        await claims.start()
        try:
            await wait_ready(lambda: not claims.unavailable_reason, _CONNECT_TIMEOUT)
            report = await _bounded(claims.inspect(time.time))
        finally:
            await claims.stop()
    except OSError as error:
        return StoreStatus(kind, is_available=False, text="", error=str(error)), None
    except ClaimsUnavailable as error:
        reason = claims.unavailable_reason or str(error)
        return StoreStatus(kind, is_available=False, text="", error=reason), None
    text = f"published events are remembered for {span(config.dedupe.retention)} or longer"
    return StoreStatus(kind, is_available=True, text=text, warnings=report.warnings), report.clock_offset


async def _journal(config: Config, journal: Journal | None) -> StoreStatus | None:
    if not config.journal.enabled:
        return None
    kind = EMBEDDED if config.postgres.url == EMBEDDED else "PostgreSQL"
    if journal is None:
        return StoreStatus(kind, is_available=False, text="", error="the journal cannot be opened")
    try:
        state = await _bounded(asyncio.to_thread(journal.state))
    except OSError as error:
        return StoreStatus(kind, is_available=False, text="", error=str(error))
    warnings = [f"{name} could not be read and was set aside" for name in state.corrupt]
    if state.unreadable:
        warnings.append(f"{count(state.unreadable, 'line')} that processes wrote could not be read")
    if state.begins_at is None:
        return StoreStatus(kind, is_available=True, text="empty", warnings=tuple(warnings))
    since = format_moment(int(state.begins_at))
    entries = "1 entry" if state.entries == 1 else f"{state.entries:,} entries"
    text = f"{entries} since {since}, {size_of(state.size)}"
    if state.unindexed > _MUCH_UNINDEXED:
        text += f", {size_of(state.unindexed)} not indexed yet"
    return StoreStatus(kind, is_available=True, text=text, warnings=tuple(warnings))


async def _workers(config: Config, now: float) -> list[Heartbeat]:
    if not config.journal.enabled:
        return []
    try:
        return await _bounded(live_workers(config, now))
    except OSError:
        return []  # the journal, which is kept beside them, says why


async def _queues(
    config: Config,
    journal: Journal | None,
    workers: list[Heartbeat],
    processes: ProcessesStatus,
    now: float,
) -> tuple[StoreStatus, list[QueueStatus]]:
    is_embedded = has_embedded_queue(config)
    kind = EMBEDDED if is_embedded else "RabbitMQ"
    knows_workers = config.journal.enabled and config.console.enabled and processes.is_running
    try:
        queues = await _bounded(queue_status(config, journal, workers, now=now, knows_workers=knows_workers))
    except OSError as error:
        return StoreStatus(kind, is_available=False, text="", error=str(error)), []
    text = f"exchange {config.rabbitmq.exchange}"
    if not is_embedded and not config.rabbitmq.management_url:
        text += "; queues that no worker has reported about are listed only with rabbitmq.management_url"
    return StoreStatus(kind, is_available=True, text=text), queues


def _archive(config: Config, broker: StoreStatus) -> StoreStatus | None:
    if not config.archive.enabled:
        return None
    text = f"events are kept for {span(config.archive.max_age)}, up to {size_of(config.archive.max_size)}"
    return StoreStatus(broker.kind, broker.is_available, text, broker.error)
