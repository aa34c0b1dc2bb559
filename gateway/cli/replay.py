"""``gateway replay``: deliver archived events to a queue again."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer
from rich.progress import TextColumn

from gateway.backends import open_archive
from gateway.cli.common import count_events, find_provider, load_without_secrets, run
from gateway.cli.progress import progress_bar
from gateway.cli.tail import describe
from gateway.cli.timestamps import parse_since, parse_time
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.publishers import Message
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
    """Deliver the selected events to ``queue``, or list them."""
    if queue is None and not is_dry:
        raise typer.BadParameter("is required unless --dry-run is given", param_hint="--to")
    now = time.time()
    event_filter = EventFilter(
        provider,
        event,
        frozenset(ids),
        since=parse_since(since, now, "--since"),
        until=now if until is None else parse_time(until, "--until"),
    )
    config = load_without_secrets(path)
    if provider is not None:
        find_provider(config, path, provider)
    logging.disable()  # libraries log what they also raise
    try:
        run(_replay(config, event_filter, None if is_dry else queue, limit, is_forced=is_forced))
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
