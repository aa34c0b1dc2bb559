"""What ``gateway dead``, ``gateway quarantine`` and ``gateway unrouted`` have in common."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec import MsgspecError

from gateway.cli.common import count_events, warn_of_pattern
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.config.known_types import doubt_type_pattern
from gateway.devtools.formatting import format_count
from gateway.events.message import ATTEMPTS
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import one_line, printable
from gateway.operations.letters import OnProgress, read_letters
from gateway.queues.dead_letters import DeadLetter
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
    check_pattern(config, event_filter)

    def show(letter: DeadLetter) -> None:
        typer.echo(to_json(letter.facts()) if as_json else describe(letter))

    found = await read_letters(config, queue, event_filter, limit, on_letter=show)
    each = ", ".join(f"{provider} {count:,}" for provider, count in found.matched.items())
    shown = found.total if limit is None else min(limit, found.total)
    typer.echo(
        f"{count_events(found.size)} in {queue}, {found.total:,} match{f' ({each})' if each else ''}, {shown:,} shown",
        err=True,
    )


async def show_letter(config: Config, queue: str, event_id: str) -> None:
    """Print the event with this id in full; the queue may hold it several times."""
    await read_letters(
        config,
        queue,
        EventFilter(ids=[event_id]),
        on_letter=lambda letter: typer.echo(printable(_in_full(letter), keep="\n")),
    )


@contextmanager
def reported_progress(
    doing: str, summary: Callable[[], str], *, hidden: bool = False
) -> Iterator[OnProgress]:
    """Show the progress of an act, and print its summary on standard error however it ends, once it has begun.

    Args:
        doing: What the command does, such as ``routing``.
        summary: Returns the line that says what was done.
        hidden: Whether the progress is not shown.
    """
    has_begun = False
    try:
        with progress_bar(doing, hidden=hidden) as progress:
            task = progress.add_task(doing, total=None)

            def show(done: int, total: int) -> None:
                nonlocal has_begun
                has_begun = True
                progress.update(task, completed=done, total=total)

            yield show
    finally:
        if has_begun:
            typer.echo(summary(), err=True)


class MoveReport:
    """Prints what a command moves to another queue.

    Args:
        words: What the command does and has done, such as ``routing`` and ``routed``.
        target: The queue that gets the events.
        dry_run: Whether the events stay where they are.
        render: Makes the line that is printed for each event; None to show the progress instead.
    """

    def __init__(
        self,
        words: tuple[str, str],
        target: str,
        *,
        dry_run: bool,
        render: Callable[[DeadLetter], str] | None,
    ) -> None:
        self._doing, self._done = words
        self._target = target
        self._would = "would be " if dry_run else ""
        self._render = render
        self._count = 0

    def progress(self) -> AbstractContextManager[OnProgress]:
        """Show the progress, and print the number of events at the end."""
        return reported_progress(self._doing, self._summary, hidden=self._render is not None)

    @property
    def count(self) -> int:
        """Return the number of events that were moved, or would be."""
        return self._count

    def add(self, letter: DeadLetter) -> None:
        """Count an event."""
        self._count += 1
        if self._render:
            typer.echo(self._render(letter))

    def _summary(self) -> str:
        return f"{count_events(self._count)} {self._would}{self._done} to {self._target}"


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
