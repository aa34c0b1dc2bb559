"""``gateway unrouted``: inspect events that no queue was bound for, and route them to a worker's queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from gateway.cli.common import run
from gateway.cli.dead_letters import (
    MoveReport,
    describe,
    list_letters,
    load_quietly,
    show_letter,
    to_json,
)
from gateway.config import Config
from gateway.operations.unrouted import route, unrouted_queue
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.unrouted import UnroutedFilter


def run_list(path: Path, event_filter: UnroutedFilter, limit: int | None, *, as_json: bool) -> None:
    """List unrouted events."""
    config = load_quietly(path)
    run(list_letters(config, unrouted_queue(config), event_filter, limit, as_json=as_json))


def run_show(path: Path, event_id: str) -> None:
    """Print an unrouted event in full."""
    config = load_quietly(path)
    run(show_letter(config, unrouted_queue(config), event_id))


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

    def as_line(letter: DeadLetter) -> str:
        return to_json({**letter.facts(), "to": target, "routed": not dry_run})

    render = as_line if as_json else describe if dry_run else None
    run(_route(config, target, event_filter, limit, dry_run=dry_run, render=render))


async def _route(
    config: Config,
    target: str,
    event_filter: UnroutedFilter,
    limit: int | None,
    *,
    dry_run: bool,
    render: Callable[[DeadLetter], str] | None,
) -> None:
    report = MoveReport(("routing", "routed"), target, dry_run=dry_run, render=render)
    with report.progress() as on_progress:
        await route(
            config,
            target,
            event_filter,
            limit,
            dry_run=dry_run,
            on_letter=report.add,
            on_progress=on_progress,
        )
