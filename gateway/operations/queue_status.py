"""The queues that matter to this gateway: those of workers and of the way out, dead letters, the quarantine, and unrouted events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from gateway.backends import open_inspection, open_workers
from gateway.config import Config
from gateway.events.message import DEAD_SUFFIX
from gateway.journal import Journal
from gateway.journal.entry import Kind
from gateway.journal.query import Query
from gateway.journal.reports import REPORTS_SUFFIX, Heartbeat
from gateway.operations.status_models import QueueKind, QueueStatus
from gateway.outbound.intake import AGENTS_EXCHANGE, OUTBOUND_SUFFIX
from gateway.publishers import ARCHIVE_SUFFIX, QUARANTINE_SUFFIX, UNROUTED_SUFFIX
from gateway.queues.inspection import QueueDepth

_RETRY = ".retry."
"""Stands in the names of delay queues, which belong to a worker's queue."""

_KNOWN_SINCE = 86_400.0
"""Seconds in which the journal is searched for queues, where the broker cannot list them."""

_ORDER: dict[QueueKind, int] = {
    "worker": 0,
    "outbound": 1,
    "dead_letters": 2,
    "quarantine": 3,
    "unrouted": 4,
    "retry": 5,
}


async def live_workers(config: Config, now: float) -> list[Heartbeat]:
    """Return the last heartbeats of the workers that are alive.

    Raises:
        OSError: The table of workers cannot be read.
    """

    def read() -> list[Heartbeat]:
        workers = open_workers(config)
        try:
            return workers.alive(now)
        finally:
            workers.close()

    return await asyncio.to_thread(read)


async def paused_worker(config: Config, queue: str, now: float) -> Heartbeat | None:
    """Return the heartbeat of a process of ``queue`` if all that are alive are paused; None if one works, or none is known.

    Reports may not have been read yet, and a table that cannot be read names nobody.
    """
    try:
        found = [each for each in await live_workers(config, now) if each.queue == queue]
    except OSError:
        return None
    return found[0] if found and all(each.paused for each in found) else None


async def queue_status(
    config: Config, journal: Journal | None, workers: Sequence[Heartbeat], *, now: float, knows_workers: bool
) -> list[QueueStatus]:
    """Return how much is in each queue.

    Args:
        config: The configuration.
        journal: The journal, which knows the queues that workers have reported about.
        workers: The workers that are alive.
        now: The time, in Unix seconds.
        knows_workers: Whether a worker that is not in ``workers`` is certainly not alive.

    Raises:
        OSError: The broker does not answer.
    """
    async with open_inspection(config) as queues:
        names = await queues.names()
        if names is None:
            names = await asyncio.to_thread(_known_queues, journal, workers, now)
            names = [each for name in names for each in (name, name + DEAD_SUFFIX)]
            names += _queues_of_way_out(config) if config.has_way_out else ()
        exchange = config.rabbitmq.exchange
        names = [*names, exchange + QUARANTINE_SUFFIX, exchange + UNROUTED_SUFFIX]
        depths = await queues.depths(names)
    return _merged(config, depths, workers, knows_workers=knows_workers)


def _known_queues(journal: Journal | None, workers: Sequence[Heartbeat], now: float) -> list[str]:
    found = {worker.queue for worker in workers}
    if journal is not None:
        # Newest first, and again without the queues that were found, is not possible: a page is enough for a few queues.
        page = journal.find(Query(kinds=(Kind.HANDLED,), since=now - _KNOWN_SINCE), limit=2000)
        found |= {entry.queue for entry in page.entries}
    return sorted(found - {""})


def _merged(
    config: Config, depths: Iterable[QueueDepth], workers: Sequence[Heartbeat], *, knows_workers: bool
) -> list[QueueStatus]:
    exchange = config.rabbitmq.exchange
    hidden = {exchange + ARCHIVE_SUFFIX, exchange + REPORTS_SUFFIX}
    delayed: dict[str, int] = defaultdict(int)
    kept: list[QueueDepth] = []
    for depth in depths:
        base, is_retry, _ = depth.name.partition(_RETRY)
        if is_retry:
            delayed[base] += depth.ready
        elif depth.name not in hidden:
            kept.append(depth)
    by_queue: dict[str, list[Heartbeat]] = defaultdict(list)
    for worker in workers:
        by_queue[worker.queue].append(worker)
    found = [
        _status_of(
            depth, _kind_of(exchange, depth.name), by_queue[depth.name], delayed, knows_workers=knows_workers
        )
        for depth in kept
    ]
    return sorted(found, key=lambda queue: (_ORDER[queue.kind], queue.name))


def _queues_of_way_out(config: Config) -> tuple[str, ...]:
    """Return the queues from which the way out takes events, and that of events of agents which are none."""
    agents = AGENTS_EXCHANGE
    return config.rabbitmq.exchange + OUTBOUND_SUFFIX, agents + OUTBOUND_SUFFIX, agents + QUARANTINE_SUFFIX


def _kind_of(exchange: str, name: str) -> QueueKind:
    if name == exchange + OUTBOUND_SUFFIX or name.startswith(f"{AGENTS_EXCHANGE}."):
        return "outbound"
    if name == exchange + QUARANTINE_SUFFIX:
        return "quarantine"
    if name == exchange + UNROUTED_SUFFIX:
        return "unrouted"
    return "dead_letters" if name.endswith(DEAD_SUFFIX) else "worker"


def _status_of(
    depth: QueueDepth,
    kind: QueueKind,
    workers: Sequence[Heartbeat],
    delayed: dict[str, int],
    *,
    knows_workers: bool,
) -> QueueStatus:
    consumers, held = depth.consumers, depth.unacknowledged
    if kind == "worker" and consumers is None and (workers or knows_workers):
        consumers = len(workers)
    if kind == "worker" and held is None and (workers or knows_workers):
        held = sum(worker.in_progress for worker in workers)
    paused = next((worker.paused for worker in workers if worker.paused), "")
    return QueueStatus(
        depth.name,
        kind,
        depth.ready,
        held,
        depth.delayed if depth.delayed is not None else delayed.get(depth.name),
        consumers,
        depth.oldest_at,
        paused,
    )
