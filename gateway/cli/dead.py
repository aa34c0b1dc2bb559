"""``gateway dead``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from gateway.backends import open_dead_letters
from gateway.cli.common import events, run
from gateway.cli.dead_letters import chosen, describe, expect_found, list_held, load_quietly, show_held
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.events.message import DEAD_SUFFIX
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter


def run_list(path: Path, queue: str, event_filter: EventFilter, limit: int | None, *, as_json: bool) -> None:
    """List the dead events of a worker."""
    run(list_held(load_quietly(path), queue + DEAD_SUFFIX, event_filter, limit, as_json=as_json))


def run_show(path: Path, queue: str, event_id: str) -> None:
    """Show one of them."""
    run(show_held(load_quietly(path), queue + DEAD_SUFFIX, event_id))


def run_redrive(
    path: Path, queue: str, event_filter: EventFilter, limit: int | None, *, dry_run: bool
) -> None:
    """Give them back to the worker."""
    run(_redrive(load_quietly(path), queue, event_filter, limit, dry_run=dry_run))


def run_drop(path: Path, queue: str, event_filter: EventFilter, limit: int | None, *, is_sure: bool) -> None:
    """Delete them, once the operator has seen which."""
    config = load_quietly(path)
    # Two visits: nothing is kept from others, nor a connection held, while somebody thinks it over.
    shown = run(_show_all(config, queue + DEAD_SUFFIX, event_filter, limit))
    count = shown.total()
    if not count:
        typer.echo("nothing to drop", err=True)
        return
    if not is_sure:
        typer.confirm(f"Drop {events(count)} for good?", abort=True, err=True)
    run(_drop(config, queue + DEAD_SUFFIX, shown))


async def _redrive(
    config: Config, queue: str, event_filter: EventFilter, limit: int | None, *, dry_run: bool
) -> None:
    dead, count = queue + DEAD_SUFFIX, 0
    async with open_dead_letters(config, dead, queue) as holding:
        try:
            with progress_bar("redriving", hidden=dry_run) as progress:
                task = progress.add_task("redriving", total=min(holding.size, limit or holding.size))
                async for held in chosen(holding, event_filter, limit):
                    if dry_run:
                        typer.echo(describe(held))
                    else:
                        await holding.move(held, queue)
                    count += 1
                    progress.update(task, completed=count)
                progress.update(task, total=count)
        finally:
            typer.echo(f"{events(count)} {'would be ' if dry_run else ''}redriven to {queue}", err=True)
    expect_found(dead, event_filter, count)


async def _show_all(config: Config, dead: str, event_filter: EventFilter, limit: int | None) -> Counter[str]:
    """Print what is to be dropped; and which that is."""
    shown: Counter[str] = Counter()
    async with open_dead_letters(config, dead) as holding:
        async for held in chosen(holding, event_filter, limit):
            typer.echo(describe(held))
            shown[_fingerprint(held)] += 1
    expect_found(dead, event_filter, shown.total())
    return shown


async def _drop(config: Config, dead: str, shown: Counter[str]) -> None:
    count = 0
    async with open_dead_letters(config, dead) as holding:
        try:
            with progress_bar("dropping") as progress:
                task = progress.add_task("dropping", total=shown.total())
                async for held in holding.browse():
                    fingerprint = _fingerprint(held)
                    if shown[fingerprint]:
                        shown[fingerprint] -= 1
                        await holding.drop(held)
                        count += 1
                        progress.update(task, completed=count)
        finally:
            typer.echo(f"{events(count)} dropped from {dead}", err=True)


def _fingerprint(held: DeadLetter) -> str:
    """What tells a failure of an event from a later one of the same event."""
    return f"{held.when} {held.message_id}"
