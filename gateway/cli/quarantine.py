"""``gateway quarantine``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from gateway.backends import open_dead_letters, open_publisher
from gateway.cli.common import events, run
from gateway.cli.dead_letters import (
    chosen,
    describe,
    expect_found,
    in_json,
    list_held,
    load_quietly,
    show_held,
)
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.events.validation import UNREADABLE
from gateway.publishers import QUARANTINE_SUFFIX, Publisher, PublishUnavailable
from gateway.queues.dead_letters.quarantine import Revalidator, released_message
from gateway.queues.filter import EventFilter

_CONNECT_WITHIN = 5.0
_POLL_EVERY = 0.02


def run_list(path: Path, event_filter: EventFilter, limit: int | None, *, as_json: bool) -> None:
    """List the events in the quarantine."""
    config = load_quietly(path)
    run(list_held(config, _queue(config), event_filter, limit, as_json=as_json))


def run_show(path: Path, event_id: str) -> None:
    """Show one of them."""
    config = load_quietly(path)
    run(show_held(config, _queue(config), event_id))


def run_revalidate(path: Path, event_filter: EventFilter, limit: int | None, *, as_json: bool) -> None:
    """Tell which pass today."""
    config = load_quietly(path)
    run(_revalidate(config, Revalidator(config, path.parent), event_filter, limit, as_json=as_json))


def run_release(
    path: Path, event_filter: EventFilter, limit: int | None, *, is_forced: bool, dry_run: bool
) -> None:
    """Publish those that pass, or all."""
    config = load_quietly(path)
    revalidator = Revalidator(config, path.parent)
    run(_release(config, revalidator, event_filter, limit, is_forced=is_forced, dry_run=dry_run))


async def _revalidate(
    config: Config, revalidator: Revalidator, event_filter: EventFilter, limit: int | None, *, as_json: bool
) -> None:
    count = passing = 0
    async with open_dead_letters(config, _queue(config)) as holding:
        async for held in chosen(holding, event_filter, limit):
            schema_id, violations = revalidator.validate(held)
            count += 1
            passing += violations is None
            if as_json:
                today = {"passes": violations is None, "dataschema": schema_id, "violations": violations}
                typer.echo(in_json(held.facts() | today))
            elif violations is None:
                typer.echo(f"passes  {describe(held, schema_id or 'there is no schema for it')}")
            else:
                typer.echo(f"fails   {describe(held, violations)}")
    expect_found(_queue(config), event_filter, count)
    typer.echo(f"{passing:,} of {events(count)} pass today", err=True)


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
    async with open_dead_letters(config, queue) as holding, _publishing(config) as publisher:
        try:
            with progress_bar("releasing", hidden=dry_run) as progress:
                task = progress.add_task("releasing", total=min(holding.size, limit or holding.size))
                async for held in chosen(holding, event_filter, limit):
                    validation = revalidator.validate(held)
                    # What no worker could read would only move on to where the worker's dead events are.
                    if validation.violations and (not is_forced or validation == UNREADABLE):
                        kept += 1
                    else:
                        if dry_run:
                            typer.echo(describe(held, validation.schema_id or validation.violations))
                        else:
                            await publisher.publish(released_message(held, exchange, validation))
                            await holding.drop(held)
                        count += 1
                    progress.update(task, completed=count + kept)
                progress.update(task, total=count + kept)
        except PublishUnavailable as error:
            raise OperatorError(
                f"the broker has not confirmed an event: {error}; it waits in {queue}, and so does the rest"
            ) from error
        finally:
            against = f", {events(kept)} still against the schema" if kept else ""
            typer.echo(
                f"{events(count)} {'would be ' if dry_run else ''}released to {exchange}{against}", err=True
            )
    expect_found(queue, event_filter, count + kept)


@asynccontextmanager
async def _publishing(config: Config) -> AsyncIterator[Publisher]:
    """A publisher that confirms by the broker alone: what is spooled is not there yet."""
    direct = config.model_copy(update={"spool": config.spool.model_copy(update={"enabled": False})})
    publisher = open_publisher(direct)
    await publisher.start()
    try:
        give_up_at = asyncio.get_running_loop().time() + _CONNECT_WITHIN
        while publisher.unavailable_reason and asyncio.get_running_loop().time() < give_up_at:
            await asyncio.sleep(_POLL_EVERY)
        yield publisher
    finally:
        await publisher.stop()


def _queue(config: Config) -> str:
    return config.rabbitmq.exchange + QUARANTINE_SUFFIX
