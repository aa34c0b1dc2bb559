"""``gateway unrouted``: inspect events that no queue was bound for, and route them to a worker's queue."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.backends import open_dead_letters
from gateway.cli.common import count_events, run
from gateway.cli.dead_letters import (
    describe,
    expect_found,
    list_letters,
    load_quietly,
    select,
    show_letter,
    to_json,
)
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.publishers import UNROUTED_SUFFIX
from gateway.queues.unrouted import UnroutedFilter


def run_list(path: Path, event_filter: UnroutedFilter, limit: int | None, *, as_json: bool) -> None:
    """List unrouted events."""
    config = load_quietly(path)
    run(list_letters(config, _queue_of(config), event_filter, limit, as_json=as_json))


def run_show(path: Path, event_id: str) -> None:
    """Print an unrouted event in full."""
    config = load_quietly(path)
    run(show_letter(config, _queue_of(config), event_id))


def run_route(
    path: Path,
    target: str,
    event_filter: UnroutedFilter,
    limit: int | None,
    *,
    takes_all: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Move unrouted events to a queue."""
    if not (takes_all or event_filter.patterns or event_filter.provider or event_filter.ids):
        raise typer.BadParameter(
            "name the events to route: --event 'stripe.invoice.*', --provider, --id, or --all. A worker acknowledges "
            "events that it has no handler for"
        )
    config = load_quietly(path)
    run(_route(config, target, event_filter, limit, dry_run=dry_run, as_json=as_json))


async def _route(
    config: Config,
    target: str,
    event_filter: UnroutedFilter,
    limit: int | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    unrouted, count = _queue_of(config), 0
    if target == unrouted:
        raise OperatorError(f"{target} is the queue of the unrouted events; name a worker's queue with --to")
    async with open_dead_letters(config, unrouted, target) as letters:
        try:
            with progress_bar("routing", hidden=dry_run or as_json) as progress:
                task = progress.add_task("routing", total=min(letters.size, limit or letters.size))
                async for letter in select(letters, event_filter, limit):
                    if not dry_run:
                        await letters.move(letter, target)
                    if as_json:
                        typer.echo(to_json({**letter.facts(), "to": target, "routed": not dry_run}))
                    elif dry_run:
                        typer.echo(describe(letter))
                    count += 1
                    progress.update(task, completed=count)
                progress.update(task, total=count)
        finally:
            typer.echo(f"{count_events(count)} {'would be ' if dry_run else ''}routed to {target}", err=True)
    expect_found(unrouted, event_filter, count)


def _queue_of(config: Config) -> str:
    return config.rabbitmq.exchange + UNROUTED_SUFFIX
