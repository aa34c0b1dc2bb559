"""``gateway quarantine``: inspect, revalidate and release the events that violate their schema."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.cli.common import count_events, run
from gateway.cli.dead_letters import (
    check_pattern,
    describe,
    list_letters,
    load_quietly,
    reported_progress,
    show_letter,
    to_json,
)
from gateway.config import Config
from gateway.events.validation import Validation
from gateway.operations.quarantine import agents_of, quarantine_queue, release, revalidate
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter


def run_list(
    path: Path, event_filter: EventFilter, limit: int | None, *, of_agents: bool, as_json: bool
) -> None:
    """List quarantined events."""
    config = load_quietly(path)
    run(list_letters(config, _queue(config, of_agents=of_agents), event_filter, limit, as_json=as_json))


def run_show(path: Path, event_id: str, *, of_agents: bool) -> None:
    """Print a quarantined event in full."""
    config = load_quietly(path)
    run(show_letter(config, _queue(config, of_agents=of_agents), event_id))


def run_revalidate(
    path: Path, event_filter: EventFilter, limit: int | None, *, of_agents: bool, as_json: bool
) -> None:
    """Validate quarantined events against the current schemas."""
    config = load_quietly(path)
    check_pattern(config, event_filter)
    run(_revalidate(config, path.parent, event_filter, limit, of_agents=of_agents, as_json=as_json))


def run_release(
    path: Path,
    event_filter: EventFilter,
    limit: int | None,
    *,
    of_agents: bool,
    is_forced: bool,
    dry_run: bool,
) -> None:
    """Publish the events that pass the current schemas, or all of them."""
    config = load_quietly(path)
    check_pattern(config, event_filter)
    run(
        _release(
            config,
            path.parent,
            event_filter,
            limit,
            of_agents=of_agents,
            is_forced=is_forced,
            dry_run=dry_run,
        )
    )


def _queue(config: Config, *, of_agents: bool) -> str:
    return quarantine_queue(agents_of(config) if of_agents else config)


async def _revalidate(
    config: Config,
    folder: Path,
    event_filter: EventFilter,
    limit: int | None,
    *,
    of_agents: bool,
    as_json: bool,
) -> None:
    count = passing = 0

    def show(letter: DeadLetter, validation: Validation) -> None:
        nonlocal count, passing
        schema_id, violations = validation
        count += 1
        passing += violations is None
        if as_json:
            facts = {"passes": violations is None, "dataschema": schema_id, "violations": violations}
            typer.echo(to_json(letter.facts() | facts))
        elif violations is None:
            typer.echo(f"passes  {describe(letter, schema_id or 'no schema applies')}")
        else:
            typer.echo(f"fails   {describe(letter, violations)}")

    await revalidate(config, folder, event_filter, limit, of_agents=of_agents, on_letter=show)
    typer.echo(f"{passing:,} of {count_events(count)} pass the current schemas", err=True)


async def _release(
    config: Config,
    folder: Path,
    event_filter: EventFilter,
    limit: int | None,
    *,
    of_agents: bool,
    is_forced: bool,
    dry_run: bool,
) -> None:
    exchange = (agents_of(config) if of_agents else config).rabbitmq.exchange
    count = kept = 0

    def show(letter: DeadLetter, validation: Validation, is_released: bool) -> None:
        nonlocal count, kept
        count, kept = count + is_released, kept + (not is_released)
        if dry_run and is_released:
            typer.echo(describe(letter, validation.schema_id or validation.violations))

    def summary() -> str:
        failing = f", {count_events(kept)} still violating the schema" if kept else ""
        would = "would be " if dry_run else ""
        return f"{count_events(count)} {would}released to {exchange}{failing}"

    with reported_progress("releasing", summary, hidden=dry_run) as on_progress:
        await release(
            config,
            folder,
            event_filter,
            limit,
            force=is_forced,
            dry_run=dry_run,
            of_agents=of_agents,
            on_letter=show,
            on_progress=on_progress,
        )
