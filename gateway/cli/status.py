"""``gateway status``: how everything is, and what to do about what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import typer

from gateway.backends import open_journal
from gateway.cli.common import run
from gateway.cli.dead_letters import load_quietly
from gateway.cli.event_page import Page
from gateway.cli.tables import print_table
from gateway.config import Config
from gateway.observability.terminal import DIM, GREEN, RED, YELLOW, one_line
from gateway.operations.journal_reading import catch_up
from gateway.operations.plain import plain
from gateway.operations.status import Problem, QueueStatus, Status, StoreStatus, status
from gateway.operations.wording import count, size_of, span

_MARKS = {"critical": ("✗", RED), "warning": ("!", YELLOW), "notice": ("-", DIM)}

_KINDS = {
    "worker": "",
    "outbound": "way out",
    "dead_letters": "dead letters",
    "quarantine": "quarantine",
    "unrouted": "unrouted",
    "retry": "retry",
}


_HEADINGS = ("queue", "", "ready", "unacked", "delayed", "consumers", "oldest")

_WIDE = 72
"""Columns from which on the queues have columns."""


def run_status(path: Path, *, as_json: bool) -> None:
    """Print how everything is; exit with 1 if something is wrong that needs somebody."""
    config = load_quietly(path)
    found = run(_status(config))
    if as_json:
        typer.echo(orjson.dumps(plain(found)).decode())
    else:
        _print(found)
    if any(problem.level != "notice" for problem in found.problems):
        raise typer.Exit(1)


async def _status(config: Config) -> Status:
    if not config.journal.enabled:
        return await status(config, None, now=time.time())
    await catch_up(config)
    journal = open_journal(config, writable=False)
    try:
        return await status(config, journal, now=time.time())
    finally:
        journal.close()


def _print(found: Status) -> None:
    page = Page()
    if not found.problems:
        page.line(f"{page.styled('✓', GREEN)} All well.")
    for problem in found.problems:
        _print_problem(page, problem)
    page.blank()
    for name, text in _facts(found):
        page.fact(name, text)
    if found.queues:
        page.blank()
    if found.queues and page.width < _WIDE:
        for queue in found.queues:
            page.fact(queue.name, _sentence(queue, found.at))
    elif found.queues:
        print_table(_HEADINGS, [_row(queue, found.at) for queue in found.queues])


def _print_problem(page: Page, problem: Problem) -> None:
    mark, style = _MARKS[problem.level]
    page.text(problem.text, first=f"{page.styled(mark, style)} ", hanging=2)


def _facts(found: Status) -> Iterator[tuple[str, str]]:
    processes = found.processes
    if processes.is_running:
        state = "accepts events" if processes.is_ready else "accepts no events"
        alive = (
            f", {processes.alive} of {processes.configured} processes alive"
            if processes.alive is not None
            else ""
        )
        restarts = f", {count(processes.restarts, 'restart')}" if processes.restarts else ""
        yield "gateway", f"{state}{alive}{restarts}"
    else:
        yield "gateway", processes.error
    yield "broker", _store(found.broker)
    yield "deduplication", _store(found.claims)
    if (spool := found.spool) is not None:
        oldest = f", the oldest for {span(found.at - spool.oldest_at)}" if spool.oldest_at is not None else ""
        text = f"{count(spool.events, 'event')}{oldest}, {size_of(spool.size)} of {size_of(spool.max_size)}"
        yield "spool", spool.error or text
    yield "archive", _store(found.archive) if found.archive else "off"
    yield "journal", _store(found.journal) if found.journal else "off"
    if found.clock_offset is not None and abs(found.clock_offset) >= 1:
        side = "ahead of" if found.clock_offset > 0 else "behind"
        yield "clock", f"{span(abs(found.clock_offset))} {side} that of the deduplication store"


def _store(store: StoreStatus) -> str:
    return (
        f"{store.kind}: {store.text}" if store.is_available else f"{store.kind}, unavailable: {store.error}"
    )


def _row(queue: QueueStatus, now: float) -> tuple[str, ...]:
    return one_line(queue.name), _kind_of(queue), *_numbers(queue), _oldest(queue, now)


def _sentence(queue: QueueStatus, now: float) -> str:
    """Return the row of a queue as a line, for a terminal that has no room for columns."""
    parts = [_kind_of(queue)]
    parts += [
        f"{number} {name}"
        for name, number in zip(_HEADINGS[2:], _numbers(queue), strict=False)
        if number != "-"
    ]
    oldest = _oldest(queue, now)
    return ", ".join(filter(None, (*parts, f"oldest {oldest}" if oldest else "")))


def _kind_of(queue: QueueStatus) -> str:
    return "paused" if queue.is_paused else _KINDS[queue.kind]


def _numbers(queue: QueueStatus) -> tuple[str, ...]:
    unknown = "?" if queue.kind == "worker" else "-"
    numbers = (queue.ready, queue.unacknowledged, queue.delayed, queue.consumers)
    return tuple(unknown if number is None else f"{number:,}" for number in numbers)


def _oldest(queue: QueueStatus, now: float) -> str:
    return "" if queue.oldest_at is None else span(max(now - queue.oldest_at, 0))
