"""``gateway quarantine``: inspect, revalidate and release the events that violate their schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from gateway.backends import open_dead_letters, open_publisher
from gateway.cli.common import count_events, run
from gateway.cli.dead_letters import (
    check_pattern,
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
from gateway.events.validation import UNREADABLE
from gateway.publishers import QUARANTINE_SUFFIX, Publisher, PublishUnavailable
from gateway.queues.dead_letters.quarantine import Revalidator, released_message
from gateway.queues.filter import EventFilter
from gateway.transport.readiness import wait_ready

_CONNECT_TIMEOUT = 5.0
"""Seconds to wait for RabbitMQ before the first event is published."""


def run_list(path: Path, event_filter: EventFilter, limit: int | None, *, as_json: bool) -> None:
    """List quarantined events."""
    config = load_quietly(path)
    run(list_letters(config, _queue(config), event_filter, limit, as_json=as_json))


def run_show(path: Path, event_id: str) -> None:
    """Print a quarantined event in full."""
    config = load_quietly(path)
    run(show_letter(config, _queue(config), event_id))


def run_revalidate(path: Path, event_filter: EventFilter, limit: int | None, *, as_json: bool) -> None:
    """Validate quarantined events against the current schemas."""
    config = load_quietly(path)
    check_pattern(config, event_filter)
    run(_revalidate(config, Revalidator(config, path.parent), event_filter, limit, as_json=as_json))


def run_release(
    path: Path, event_filter: EventFilter, limit: int | None, *, is_forced: bool, dry_run: bool
) -> None:
    """Publish the events that pass the current schemas, or all of them."""
    config = load_quietly(path)
    check_pattern(config, event_filter)
    revalidator = Revalidator(config, path.parent)
    run(_release(config, revalidator, event_filter, limit, is_forced=is_forced, dry_run=dry_run))


async def _revalidate(
    config: Config, revalidator: Revalidator, event_filter: EventFilter, limit: int | None, *, as_json: bool
) -> None:
    count = passing = 0
    async with open_dead_letters(config, _queue(config)) as letters:
        async for letter in select(letters, event_filter, limit):
            schema_id, violations = revalidator.validate(letter)
            count += 1
            passing += violations is None
            if as_json:
                validation = {"passes": violations is None, "dataschema": schema_id, "violations": violations}
                typer.echo(to_json(letter.facts() | validation))
            elif violations is None:
                typer.echo(f"passes  {describe(letter, schema_id or 'no schema applies')}")
            else:
                typer.echo(f"fails   {describe(letter, violations)}")
    expect_found(_queue(config), event_filter, count)
    typer.echo(f"{passing:,} of {count_events(count)} pass the current schemas", err=True)


async def _release(
    config: Config,
    revalidator: Revalidator,
    event_filter: EventFilter,
    limit: int | None,
    *,
    is_forced: bool,
    dry_run: bool,
) -> None:
    queue, exchange = _queue(config), config.rabbitmq.exchange
    count = kept = 0
    async with open_dead_letters(config, queue) as letters, _publishing(config) as publisher:
        try:
            with progress_bar("releasing", hidden=dry_run) as progress:
                task = progress.add_task("releasing", total=min(letters.size, limit or letters.size))
                async for letter in select(letters, event_filter, limit):
                    validation = revalidator.validate(letter)
                    # No worker could read such an event: it would only move on to the dead-letter queue.
                    if validation.violations and (not is_forced or validation == UNREADABLE):
                        kept += 1
                    else:
                        if dry_run:
                            typer.echo(describe(letter, validation.schema_id or validation.violations))
                        else:
                            await publisher.publish(released_message(letter, exchange, validation))
                            await letters.drop(letter)
                        count += 1
                    progress.update(task, completed=count + kept)
                progress.update(task, total=count + kept)
        except PublishUnavailable as error:
            raise OperatorError(
                f"the broker did not confirm an event: {error}; it stays in {queue}, as do the remaining events"
            ) from error
        finally:
            failing = f", {count_events(kept)} still violating the schema" if kept else ""
            typer.echo(
                f"{count_events(count)} {'would be ' if dry_run else ''}released to {exchange}{failing}",
                err=True,
            )
    expect_found(queue, event_filter, count + kept)


@asynccontextmanager
async def _publishing(config: Config) -> AsyncIterator[Publisher]:
    """Open a publisher without a spool: a released event leaves the quarantine only once the broker has it."""
    direct = config.model_copy(update={"spool": config.spool.model_copy(update={"enabled": False})})
    publisher = open_publisher(direct)
    await publisher.start()
    try:
        await wait_ready(
            lambda: not publisher.unavailable_reason, _CONNECT_TIMEOUT
        )  # a failure is reported by what follows
        yield publisher
    finally:
        await publisher.stop()


def _queue(config: Config) -> str:
    return config.rabbitmq.exchange + QUARANTINE_SUFFIX
