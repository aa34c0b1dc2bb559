"""``gateway dead``: inspect, redrive and delete the events in a worker's dead-letter queue."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import typer

from gateway.cli.common import count_events, run
from gateway.cli.dead_letters import (
    MoveReport,
    check_pattern,
    describe,
    list_letters,
    load_quietly,
    reported_progress,
    show_letter,
)
from gateway.config import Config
from gateway.events.message import DEAD_SUFFIX
from gateway.observability.terminal import one_line
from gateway.operations.dead_letters import redrive
from gateway.operations.dropping import Listed, drop_listed
from gateway.operations.letters import read_letters
from gateway.operations.queue_status import paused_worker
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter


def run_list(path: Path, queue: str, event_filter: EventFilter, limit: int | None, *, as_json: bool) -> None:
    """List dead-lettered events."""
    run(list_letters(load_quietly(path), queue + DEAD_SUFFIX, event_filter, limit, as_json=as_json))


def run_show(path: Path, queue: str, event_id: str) -> None:
    """Print a dead-lettered event in full."""
    run(show_letter(load_quietly(path), queue + DEAD_SUFFIX, event_id))


def run_redrive(
    path: Path, queue: str, event_filter: EventFilter, limit: int | None, *, dry_run: bool
) -> None:
    """Return dead-lettered events to the worker's queue."""
    config = load_quietly(path)
    check_pattern(config, event_filter)
    run(_redrive(config, queue, event_filter, limit, dry_run=dry_run))


def run_drop(
    path: Path, queue: str, event_filter: EventFilter, limit: int | None, *, is_confirmed: bool
) -> None:
    """Delete dead-lettered events after the operator has confirmed the list."""
    config = load_quietly(path)
    check_pattern(config, event_filter)
    # The queue is opened twice, so that no connection or message is held while the operator decides.
    listed = run(_list_selected(config, queue + DEAD_SUFFIX, event_filter, limit))
    count = len(listed)
    if not count:
        typer.echo("nothing to drop", err=True)
        return
    if not is_confirmed:
        typer.confirm(f"Permanently delete {count_events(count)}?", abort=True, err=True)
    run(_drop(config, queue + DEAD_SUFFIX, listed))


async def _redrive(
    config: Config, queue: str, event_filter: EventFilter, limit: int | None, *, dry_run: bool
) -> None:
    render = describe if dry_run else None
    report = MoveReport(("redriving", "redriven"), queue, dry_run=dry_run, render=render)
    with report.progress() as on_progress:
        await redrive(
            config, queue, event_filter, limit, dry_run=dry_run, on_letter=report.add, on_progress=on_progress
        )
    if report.count and (paused := await paused_worker(config, queue, time.time())):
        until = ""
        if paused.paused_until:
            until = f" until {datetime.fromtimestamp(paused.paused_until, UTC).astimezone():%H:%M:%S}"
        cause = one_line(paused.paused)
        typer.echo(f"the worker of {queue} is paused{until} ({cause}); the events wait until then", err=True)


async def _list_selected(config: Config, dead: str, event_filter: EventFilter, limit: int | None) -> Listed:
    """Print the selected events, and return them."""
    listed = Listed()

    def show(letter: DeadLetter) -> None:
        typer.echo(describe(letter))
        listed.add(letter)

    await read_letters(config, dead, event_filter, limit, on_letter=show)
    return listed


async def _drop(config: Config, dead: str, listed: Listed) -> None:
    """Delete the events that were listed, and none that was dead-lettered since."""
    total = len(listed)
    with reported_progress(
        "dropping", lambda: f"{count_events(total - len(listed))} dropped from {dead}"
    ) as on_progress:
        await drop_listed(config, dead, listed, on_progress=on_progress)
