"""``gateway replay``: deliver archived events to a queue again."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.progress import TextColumn

from gateway.backends import open_archive
from gateway.cli.common import count_events, find_provider, run
from gateway.cli.progress import progress_bar
from gateway.cli.tail import describe
from gateway.cli.timestamps import parse_since, parse_time
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.queues.archive import Archive, NotThere, Replay, mark_replayed
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
    logging.disable()  # libraries log what they also raise
    try:
        queue = None if options.dry_run else options.queue
        run(_replay(config, event_filter, queue, options.limit, is_forced=options.force))
    except asyncio.CancelledError:  # SIGTERM cancels the task
        raise KeyboardInterrupt from None


async def _replay(
    config: Config, event_filter: EventFilter, queue: str | None, limit: int | None, *, is_forced: bool
) -> None:
    task = asyncio.current_task()
    assert task  # noqa: S101 -- this coroutine runs in it
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with open_archive(config) as archive:
            if queue is None:
                await _run(archive, Replay(archive, event_filter, _list, limit), "would be replayed")
            else:
                await archive.open_queue(queue)
                deliver = _delivering(archive, queue, is_forced=is_forced)
                await _run(archive, Replay(archive, event_filter, deliver, limit), f"replayed to {queue}")
    except NotThere as error:
        hint = "" if config.archive.enabled else "; archive.enabled is false"
        raise OperatorError(f"{error}{hint}") from error
    except OSError as error:
        raise OperatorError(f"cannot replay: {error}") from error


def _delivering(archive: Archive, queue: str, *, is_forced: bool) -> Callable[[Message], Awaitable[None]]:
    return lambda message: archive.deliver(queue, mark_replayed(message, is_forced=is_forced))


async def _list(message: Message) -> None:
    typer.echo(describe(message.body))


async def _run(archive: Archive, replay: Replay, done: str) -> None:
    progress = progress_bar(
        "replaying", TextColumn("{task.percentage:.0f} % read, {task.fields[delivered]:,} selected")
    )
    task = progress.add_task("replaying", total=None, delivered=0)

    def show() -> None:
        first = replay.first or 0
        total = max(archive.last, replay.place) - first + 1
        progress.update(task, total=total, completed=replay.place - first + 1, delivered=replay.delivered)

    try:
        with progress:
            await replay.run(show)
    finally:
        typer.echo(f"{count_events(replay.delivered)} of {replay.read:,} in the archive {done}", err=True)
