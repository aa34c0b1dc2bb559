"""``gateway replay``."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.backends import open_archive
from gateway.cli.common import events, find_provider, load_without_secrets, run
from gateway.cli.tail import describe
from gateway.cli.timestamps import parse_moment, parse_since
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.queues.archive import Archive, NotThere, Replay, mark_replayed
from gateway.queues.filter import EventFilter


def run_replay(
    path: Path,
    queue: str | None,
    since: str,
    until: str | None,
    provider: str | None,
    event: str,
    ids: list[str],
    limit: int | None,
    *,
    is_dry: bool,
    is_forced: bool,
) -> None:
    """Deliver what is selected to ``queue``, or list it."""
    if queue is None and not is_dry:
        raise typer.BadParameter("is needed, unless with --dry-run", param_hint="--to")
    now = time.time()
    event_filter = EventFilter(
        provider,
        event,
        frozenset(ids),
        since=parse_since(since, now, "--since"),
        until=now if until is None else parse_moment(until, "--until"),
    )
    config = load_without_secrets(path)
    if provider is not None:
        find_provider(config, path, provider)
    logging.disable()  # what a library complains of also comes as an exception, and is told by that
    try:
        run(_replay(config, event_filter, None if is_dry else queue, limit, is_forced=is_forced))
    except asyncio.CancelledError:  # by SIGTERM
        raise KeyboardInterrupt from None


async def _replay(
    config: Config, event_filter: EventFilter, queue: str | None, limit: int | None, *, is_forced: bool
) -> None:
    task = asyncio.current_task()
    assert task  # noqa: S101 -- we are in it
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
    progress = Progress(
        TextColumn("replaying"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} % read, {task.fields[delivered]:,} selected"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
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
        typer.echo(f"{events(replay.delivered)} of {replay.read:,} in the archive {done}", err=True)
