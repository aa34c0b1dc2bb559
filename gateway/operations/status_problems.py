"""What is wrong, worst first: each in a sentence or two that says what to do.

The module is over 200 lines: it is the list of all problems, which should sound alike.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from gateway import __version__
from gateway.config import Config
from gateway.journal.reports import Heartbeat
from gateway.observability.outbound_counters import OUTBOUND
from gateway.operations.status_models import Level, Problem, QueueStatus, Status
from gateway.operations.wording import count, span
from gateway.publishers import QUARANTINE_SUFFIX

MAX_WAIT = 600.0
"""Seconds that an event may wait in a worker's queue before that is a problem."""

_MAX_SPOOLED = 10.0
"""Seconds that an event may wait in the spool before that is a problem: a broker that restarts takes less."""

_FULL = 0.8
"""The part of the spool's limit from which on it is nearly full."""

_MAX_CLOCK_OFFSET = 5.0
"""Seconds between our clock and that of the deduplication store that networks do not explain."""

_LEVELS: dict[Level, int] = {"critical": 0, "warning": 1, "notice": 2}


def problems_of(config: Config, found: Status, workers: Sequence[Heartbeat]) -> list[Problem]:
    """Return what is wrong, worst first."""
    problems = [
        *_of_processes(found),
        *_of_servers(config, found),
        *_of_spool(found),
        *(problem for queue in found.queues for problem in _of_queue(found, queue)),
        *_of_journal(found),
        *_of_versions(workers),
    ]
    return sorted(problems, key=lambda problem: _LEVELS[problem.level])


def _of_processes(found: Status) -> Iterator[Problem]:
    processes = found.processes
    if not processes.is_running:
        yield Problem(
            "critical",
            "processes",
            f"{_capital(processes.error)}. Start it with `gateway serve`, or correct server.admin_bind.",
            "gateway serve",
        )
        return
    if not processes.is_ready:
        checks = {part: state for part, state in processes.checks.items() if part != OUTBOUND}
        causes = "; ".join(f"{part}: {state}" for part, state in checks.items() if state != "ok")
        yield Problem(
            "critical", "processes", f"The gateway accepts no events: {causes or 'it has just started'}."
        )
    if (state := processes.checks.get(OUTBOUND, "ok")) != "ok":
        yield Problem(
            "warning",
            OUTBOUND,
            f"Nothing is delivered to endpoints: {_clean(state)}. Events wait meanwhile.",
            "gateway outbound show",
        )
    if processes.alive is not None and processes.alive < processes.configured:
        yield Problem(
            "warning",
            "processes",
            f"{processes.alive} of {processes.configured} processes "
            "are alive; a dead one is replaced within seconds, so look into the log if this lasts.",
        )


def _of_servers(config: Config, found: Status) -> Iterator[Problem]:
    broker, claims = found.broker, found.claims
    if not broker.is_available:
        spools = config.spool.enabled and found.spool is not None
        effect = "events wait in the spool meanwhile" if spools else "events are answered 503 meanwhile"
        yield Problem(
            "warning" if spools else "critical",
            "broker",
            f"The broker ({broker.kind}) does not answer: {_clean(broker.error)}; {effect}.",
        )
    if not claims.is_available:
        accepts = config.dedupe.on_unavailable == "accept"
        effect = (
            "events are published without deduplication meanwhile"
            if accepts
            else "events are answered 503 meanwhile"
        )
        yield Problem(
            "warning" if accepts else "critical",
            "claims",
            f"The deduplication store ({claims.kind}) does not answer: {_clean(claims.error)}; {effect}.",
        )
    for warning in claims.warnings:
        yield Problem("warning", "claims", f"Deduplication store: {_clean(warning)}.")
    offset = found.clock_offset
    if offset is not None and abs(offset) > _MAX_CLOCK_OFFSET:
        side = "ahead of" if offset > 0 else "behind"
        yield Problem(
            "warning",
            "clock",
            f"This machine's clock is {span(abs(offset))} {side} that of the deduplication store: signed timestamps may be "
            "refused. Synchronize both with NTP.",
        )


def _of_spool(found: Status) -> Iterator[Problem]:
    spool = found.spool
    if spool is None:
        return
    if spool.error:
        yield Problem(
            "warning", "spool", f"The spool cannot be read: {_clean(spool.error)}.", "gateway spool verify"
        )
    waits = 0.0 if spool.oldest_at is None else found.at - spool.oldest_at
    if spool.events and (waits > _MAX_SPOOLED or not found.processes.is_running):
        since = f", the oldest for {span(waits)}" if waits > 0 else ""
        remedy = (
            "they are published once the broker takes them"
            if found.processes.is_running
            else "start the gateway, or drain them with `gateway spool drain`"
        )
        verb = "waits" if spool.events == 1 else "wait"
        yield Problem(
            "warning",
            "spool",
            f"{count(spool.events, 'event')} {verb} in the spool{since}; {remedy}.",
            "gateway spool show",
        )
    if spool.size > _FULL * spool.max_size:
        yield Problem(
            "critical",
            "spool",
            f"The spool is {spool.size / spool.max_size:.0%} full; events are answered 503 once it is. Bring the broker "
            "back, or raise spool.max_size.",
        )
    if spool.corrupt:
        verb = "was" if spool.corrupt == 1 else "were"
        yield Problem(
            "warning",
            "spool",
            f"{count(spool.corrupt, 'row')} of the spool could not be read and {verb} set aside; see `gateway spool export "
            "--corrupt`.",
            "gateway spool export --corrupt",
        )


def _of_queue(found: Status, queue: QueueStatus) -> Iterator[Problem]:
    part, ready = f"queue:{queue.name}", queue.ready or 0
    verb = "waits" if ready == 1 else "wait"
    waits = 0.0 if queue.oldest_at is None else found.at - queue.oldest_at
    since = f", the oldest received {span(waits)} ago" if waits >= 1 else ""
    name = shlex.quote(queue.name)
    if queue.kind == "worker":
        yield from _of_worker_queue(queue, part, ready, waits)
    elif queue.kind == "outbound" and ready:
        yield from _of_way_out_queue(queue, part, ready, waits)
    elif queue.kind == "dead_letters" and ready:
        command = f"gateway dead list {shlex.quote(queue.name.removesuffix('.dead'))}"
        yield Problem(
            "warning",
            part,
            f"{count(ready, 'event')} {verb} in the dead-letter queue {queue.name}{since}; see `{command}`.",
            command,
        )
    elif queue.kind == "quarantine" and ready:
        yield Problem(
            "warning",
            part,
            f"{count(ready, 'event')} {verb} in the quarantine{since}; see `gateway quarantine list`.",
            "gateway quarantine list",
        )
    elif queue.kind == "unrouted" and ready:
        yield Problem(
            "warning",
            part,
            f"No queue was bound for {count(ready, 'event')}{since}; see `gateway unrouted list`, and start a worker for "
            f"them or move them with `gateway unrouted route`.",
            "gateway unrouted list",
        )
    if queue.error:
        yield Problem("notice", part, f"The queue {name} could not be asked: {_clean(queue.error)}.")


def _of_worker_queue(queue: QueueStatus, part: str, ready: int, waits: float) -> Iterator[Problem]:
    verb = "waits" if ready == 1 else "wait"
    if queue.consumers == 0:
        if ready:
            text = f"{count(ready, 'event')} {verb} in {queue.name}, and no worker reads it"
            since = f"; the oldest was received {span(waits)} ago" if waits >= 1 else ""
            yield Problem("warning", part, f"{text}{since}. Start its worker.")
        else:
            yield Problem("notice", part, f"No worker reads the queue {queue.name}.")
    elif queue.paused:
        yield Problem("warning", part, f"The worker of {queue.name} is paused: {_clean(queue.paused)}.")
    elif ready and waits > MAX_WAIT:
        yield Problem(
            "warning",
            part,
            f"{count(ready, 'event')} {verb} in {queue.name}, the oldest received {span(waits)} ago: its workers do not "
            "keep up. Start more of them, or look for slow handlers.",
        )


def _of_way_out_queue(queue: QueueStatus, part: str, ready: int, waits: float) -> Iterator[Problem]:
    verb = "waits" if ready == 1 else "wait"
    if queue.name.endswith(QUARANTINE_SUFFIX):
        yield Problem(
            "warning",
            part,
            f"{count(ready, 'event')} of agents {verb} in {queue.name}, because no CloudEvent could be read; the header "
            "`violations` of each says why.",
        )
    elif queue.consumers == 0 or waits > MAX_WAIT:
        yield Problem(
            "warning",
            part,
            f"{count(ready, 'event')} {verb} in {queue.name}, and nothing takes them for delivery to endpoints; see "
            "`gateway outbound show`, and the log of the way out.",
            "gateway outbound show",
        )


def _of_journal(found: Status) -> Iterator[Problem]:
    journal = found.journal
    if journal is not None and not journal.is_available:
        yield Problem(
            "warning",
            "journal",
            f"The journal cannot be read: {_clean(journal.error)}. Events flow all the same.",
        )
    if journal is not None:
        for warning in journal.warnings:
            yield Problem("notice", "journal", f"Journal: {_clean(warning)}.")
    if dropped := found.processes.dropped:
        entries = "1 entry" if dropped == 1 else f"{dropped:,} entries"
        yield Problem(
            "notice",
            "journal",
            f"{entries} of the journal were dropped since the gateway started, so that some events lack a part of their "
            "timeline.",
        )


def _of_versions(workers: Sequence[Heartbeat]) -> Iterator[Problem]:
    other = sorted({worker.version for worker in workers if worker.version != __version__})
    if other:
        yield Problem(
            "notice",
            "workers",
            f"Some workers run another version ({', '.join(other)}) than this program ({__version__}).",
        )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _clean(text: str) -> str:
    return text.rstrip(". ")
