"""What ``gateway dead``, ``gateway quarantine`` and ``gateway unrouted`` have in common."""

from __future__ import annotations

import base64
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec import MsgspecError

from gateway.backends import open_dead_letters
from gateway.cli.common import count_events, warn_of_pattern
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.config.known_types import doubt_type_pattern
from gateway.devtools.formatting import format_count
from gateway.errors import OperatorError
from gateway.events.message import ATTEMPTS
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import one_line, printable
from gateway.queues.dead_letters import DeadLetter, DeadLetterQueue
from gateway.queues.filter import EventFilter


def load_quietly(path: Path) -> Config:
    """Load the configuration for a command that reports its errors itself, and turn logs off."""
    silence_logs()
    logging.disable()  # libraries log what they also raise
    return load_without_secrets(path)


def check_pattern(config: Config, event_filter: EventFilter) -> None:
    """Warn of a pattern that is probably mistyped."""
    if event_filter.pattern is not None:
        doubt = doubt_type_pattern(config, event_filter.pattern, event_filter.provider)
        warn_of_pattern(event_filter.pattern, doubt)


async def list_letters(
    config: Config, queue: str, event_filter: EventFilter, limit: int | None, *, as_json: bool
) -> None:
    """Print the selected events, one per line, and a summary on standard error."""
    matched: Counter[str] = Counter()
    check_pattern(config, event_filter)
    async with open_dead_letters(config, queue) as letters:
        async for letter in letters.browse():
            if event_filter.accepts(letter):
                matched[letter.provider or "?"] += 1
                if limit is None or matched.total() <= limit:
                    typer.echo(to_json(letter.facts()) if as_json else describe(letter))
        size = letters.size
    expect_found(queue, event_filter, matched.total())
    each = ", ".join(f"{provider} {count:,}" for provider, count in matched.most_common())
    shown = matched.total() if limit is None else min(limit, matched.total())
    typer.echo(
        f"{count_events(size)} in {queue}, {matched.total():,} match{f' ({each})' if each else ''}, {shown:,} shown",
        err=True,
    )


async def show_letter(config: Config, queue: str, event_id: str) -> None:
    """Print the event with this id in full; the queue may hold it several times."""
    event_filter = EventFilter(ids=[event_id])
    count = 0
    async with open_dead_letters(config, queue) as letters:
        async for letter in select(letters, event_filter):
            count += 1
            typer.echo(printable(_in_full(letter), keep="\n"))
    expect_found(queue, event_filter, count)


async def move_letters(
    config: Config,
    source: str,
    target: str,
    event_filter: EventFilter,
    limit: int | None,
    words: tuple[str, str],
    *,
    dry_run: bool,
    render: Callable[[DeadLetter], str] | None,
) -> None:
    """Move the selected events to another queue, oldest first, and report their number on standard error.

    Args:
        config: the configuration.
        source: the queue that has the events.
        target: the queue that gets them.
        event_filter: selects the events.
        limit: the number of events at most.
        words: what the command does and has done, such as ``routing`` and ``routed``.
        dry_run: whether the events stay where they are.
        render: makes the line that is printed for each event; None to show the progress instead.
    """
    doing, done = words
    count = 0
    async with open_dead_letters(config, source, target) as letters:
        try:
            with progress_bar(doing, hidden=render is not None) as progress:
                task = progress.add_task(doing, total=min(letters.size, limit or letters.size))
                async for letter in select(letters, event_filter, limit):
                    if not dry_run:
                        await letters.move(letter, target)
                    if render:
                        typer.echo(render(letter))
                    count += 1
                    progress.update(task, completed=count)
                progress.update(task, total=count)
        finally:
            typer.echo(f"{count_events(count)} {'would be ' if dry_run else ''}{done} to {target}", err=True)
    expect_found(source, event_filter, count)


async def select(
    letters: DeadLetterQueue, event_filter: EventFilter, limit: int | None = None
) -> AsyncIterator[DeadLetter]:
    """Yield the first ``limit`` selected events. The queue is read to its end, or else its order would change."""
    count = 0
    async for letter in letters.browse():
        if (limit is None or count < limit) and event_filter.accepts(letter):
            count += 1
            yield letter


def expect_found(queue: str, event_filter: EventFilter, count: int) -> None:
    """Report that an event that was asked for by its id is not in the queue.

    Raises:
        OperatorError: The filter names ids, and ``count`` is 0.
    """
    if event_filter.ids and not count:
        ids = ", ".join(map(repr, event_filter.ids))
        raise OperatorError(f"{queue} has no event with the id {ids}")


def describe(letter: DeadLetter, reason: str | None = None) -> str:
    """Describe an event in one line that ends with ``reason``, or with why the event is in this queue."""
    attempts = letter.headers.get(ATTEMPTS)
    if isinstance(attempts, int):
        attempts = format_count(attempts, "attempt")
    parts = (
        letter.when[:19],
        letter.provider,
        letter.word,
        letter.message_id,
        attempts,
        reason or letter.why,
    )
    return "  ".join(one_line(part) for part in parts if part)


def to_json(facts: dict[str, Any]) -> str:
    """Return the facts about an event as one line of JSON."""
    return json.dumps(facts, default=str)


def _in_full(letter: DeadLetter) -> str:
    """Return the whole event as JSON. A body that is not JSON is base64-encoded."""
    head: dict[str, Any] = {"routing_key": letter.routing_key, "headers": dict(letter.headers)}
    with suppress(MsgspecError, RecursionError, UnicodeDecodeError):
        # Formatted but not parsed, so that a number that no reader accepts is shown as it was received.
        body = msgspec.json.format(letter.body, indent=-1).decode()
        shown = f'{json.dumps(head, ensure_ascii=False, default=str)[:-1]}, "event": {body}}}'
        return msgspec.json.format(shown, indent=2)
    head["body_base64"] = base64.b64encode(letter.body).decode()
    return json.dumps(head, indent=2, ensure_ascii=False, default=str)
