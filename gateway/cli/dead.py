"""``gateway dead``: inspect, redrive and delete the events in a worker's dead-letter queue."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from gateway.backends import open_dead_letters
from gateway.cli.common import count_events, run
from gateway.cli.dead_letters import (
    check_pattern,
    describe,
    expect_found,
    list_letters,
    load_quietly,
    move_letters,
    select,
    show_letter,
)
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.events.message import DEAD_SUFFIX
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
    count = listed.total()
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
    words = "redriving", "redriven"
    await move_letters(
        config, queue + DEAD_SUFFIX, queue, event_filter, limit, words, dry_run=dry_run, render=render
    )


async def _list_selected(
    config: Config, dead: str, event_filter: EventFilter, limit: int | None
) -> Counter[str]:
    """Print the selected events, and return the fingerprint of each with its number of copies."""
    listed: Counter[str] = Counter()
    async with open_dead_letters(config, dead) as letters:
        async for letter in select(letters, event_filter, limit):
            typer.echo(describe(letter))
            listed[_fingerprint(letter)] += 1
    expect_found(dead, event_filter, listed.total())
    return listed


async def _drop(config: Config, dead: str, listed: Counter[str]) -> None:
    """Delete the events that were listed, and none that was dead-lettered since."""
    count = 0
    async with open_dead_letters(config, dead) as letters:
        try:
            with progress_bar("dropping") as progress:
                task = progress.add_task("dropping", total=listed.total())
                async for letter in letters.browse():
                    fingerprint = _fingerprint(letter)
                    if listed[fingerprint]:
                        listed[fingerprint] -= 1
                        await letters.drop(letter)
                        count += 1
                        progress.update(task, completed=count)
        finally:
            typer.echo(f"{count_events(count)} dropped from {dead}", err=True)


def _fingerprint(letter: DeadLetter) -> str:
    """Return what distinguishes this failure of an event from a later one of the same event."""
    return f"{letter.when} {letter.message_id}"
