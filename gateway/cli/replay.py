"""``gateway replay``: deliver archived events to a queue again."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from gateway.cli.common import count_events, find_provider, run, warn_of_pattern
from gateway.cli.progress import progress_bar
from gateway.cli.tail import describe, to_json_line
from gateway.cli.timestamps import parse_since, parse_time
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.config.known_types import doubt_type_pattern
from gateway.events.message import Message
from gateway.operations.replay import Replayed, look
from gateway.operations.replay import run as replay
from gateway.queues.filter import EventFilter


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of the command.

    Attributes:
        queue: The queue to deliver to; None with ``dry_run``.
        since: The earliest time of receipt: a time, or a duration before now.
        until: The latest time of receipt; None for now.
        provider: The provider's key in the configuration; None for all.
        event: A pattern of event types.
        ids: The ids of the events; all if empty.
        limit: The maximum number of events.
        dry_run: List the events, and deliver none.
        force: Have workers handle events that they have already processed.
        as_json: List the events as JSON.
    """

    queue: str | None
    since: str
    until: str | None
    provider: str | None
    event: str
    ids: list[str]
    limit: int | None
    dry_run: bool
    force: bool
    as_json: bool = False


def run_replay(path: Path, options: ReplayOptions) -> None:
    """Deliver the selected events to a queue, or list them."""
    if options.queue is None and not options.dry_run:
        raise typer.BadParameter("is required unless --dry-run is given", param_hint="--to")
    now = time.time()
    event_filter = EventFilter(
        since=parse_since(options.since, now, "--since"),
        until=now if options.until is None else parse_time(options.until, "--until"),
        provider=options.provider,
        pattern=options.event,
        ids=frozenset(options.ids),
    )
    config = load_without_secrets(path)
    if options.provider is not None:
        find_provider(config, path, options.provider)
    warn_of_pattern(options.event, doubt_type_pattern(config, options.event, options.provider))
    logging.disable()  # libraries log what they also raise
    try:
        queue = None if options.dry_run else options.queue
        run(_replay(config, event_filter, queue, options))
    except asyncio.CancelledError:  # SIGTERM cancels the task
        raise KeyboardInterrupt from None


async def _replay(
    config: Config, event_filter: EventFilter, queue: str | None, options: ReplayOptions
) -> None:
    task = asyncio.current_task()
    assert task  # noqa: S101 -- this coroutine runs in it
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    replayed = Replayed()
    done = f"replayed to {queue}" if queue else "would be replayed"
    has_begun = False
    try:
        with progress_bar(
            "replaying", "{task.percentage:.0f} % read, {task.fields[delivered]:,} selected"
        ) as progress:
            shown = progress.add_task("replaying", total=None, delivered=0)

            def show(place: int, total: int) -> None:
                nonlocal has_begun
                has_begun = True
                progress.update(shown, total=total, completed=place, delivered=replayed.delivered)

            if queue is None:
                list_event = _list_json if options.as_json else _list
                await look(
                    config,
                    event_filter,
                    options.limit,
                    on_message=list_event,
                    on_progress=show,
                    replayed=replayed,
                )
            else:
                await replay(
                    config,
                    event_filter,
                    queue,
                    options.limit,
                    force=options.force,
                    on_progress=show,
                    replayed=replayed,
                )
    finally:
        if has_begun:
            typer.echo(
                f"{count_events(replayed.delivered)} of {replayed.read:,} in the archive {done}", err=True
            )


def _list(message: Message) -> None:
    typer.echo(describe(message.body))


def _list_json(message: Message) -> None:
    typer.echo(to_json_line(message.body))
