"""What the commands for events that wait have in common."""

from __future__ import annotations

import base64
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec import MsgspecError

from gateway.backends import open_dead_letters
from gateway.cli.common import events, load_without_secrets
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.events.message import ATTEMPTS
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import one_line, printable
from gateway.queues.dead_letters import DeadLetter, DeadLetterQueue
from gateway.queues.filter import EventFilter


def load_quietly(path: Path) -> Config:
    """The configuration, for a command that tells by itself what goes wrong."""
    silence_logs()
    logging.disable()  # what a library complains of also comes as an exception
    return load_without_secrets(path)


async def list_held(
    config: Config, queue: str, event_filter: EventFilter, limit: int | None, *, as_json: bool
) -> None:
    """Print the events that are meant, one a line, and count them."""
    found: Counter[str] = Counter()
    async with open_dead_letters(config, queue) as holding:
        async for held in holding.browse():
            if event_filter.accepts(held):
                found[held.provider or "?"] += 1
                if limit is None or found.total() <= limit:
                    typer.echo(in_json(held.facts()) if as_json else describe(held))
        size = holding.size
    expect_found(queue, event_filter, found.total())
    each = ", ".join(f"{provider} {count:,}" for provider, count in found.most_common())
    shown = found.total() if limit is None else min(limit, found.total())
    typer.echo(
        f"{events(size)} in {queue}, {found.total():,} match{f' ({each})' if each else ''}, {shown:,} shown",
        err=True,
    )


async def show_held(config: Config, queue: str, event_id: str) -> None:
    """Print the whole event of that id, each where there are several."""
    event_filter = EventFilter(ids=[event_id])
    count = 0
    async with open_dead_letters(config, queue) as holding:
        async for held in chosen(holding, event_filter):
            count += 1
            typer.echo(printable(_in_full(held), keep="\n"))
    expect_found(queue, event_filter, count)


async def chosen(
    holding: DeadLetterQueue, event_filter: EventFilter, limit: int | None = None
) -> AsyncIterator[DeadLetter]:
    """The first events that are meant; the queue is browsed to its end all the same."""
    count = 0
    async for held in holding.browse():
        if (limit is None or count < limit) and event_filter.accepts(held):
            count += 1
            yield held


def expect_found(queue: str, event_filter: EventFilter, count: int) -> None:
    """Say so where an event that was named is not there."""
    if event_filter.ids and not count:
        ids = ", ".join(map(repr, event_filter.ids))
        raise OperatorError(f"{queue} has no such event with the id {ids}")


def describe(held: DeadLetter, why: str | None = None) -> str:
    """An event in one line, with what is wrong with it, or with ``why``."""
    attempts = held.headers.get(ATTEMPTS)
    tried = "" if attempts is None else f"{attempts} attempt{'' if attempts == 1 else 's'}"
    parts = (held.when[:19], held.provider, held.word, held.message_id, tried, why or held.why)
    return "  ".join(one_line(part) for part in parts if part)


def in_json(facts: dict[str, Any]) -> str:
    """Facts of an event in one line of JSON."""
    return json.dumps(facts, default=str)


def _in_full(held: DeadLetter) -> str:
    """Write all of an event as JSON; a body that is none as its bytes in base64."""
    head: dict[str, Any] = {"routing_key": held.routing_key, "headers": dict(held.headers)}
    with suppress(MsgspecError, RecursionError, UnicodeDecodeError):
        # Formatted and not parsed: a number that no reader takes is shown as it came.
        body = msgspec.json.format(held.body, indent=-1).decode()
        shown = f'{json.dumps(head, ensure_ascii=False, default=str)[:-1]}, "event": {body}}}'
        return msgspec.json.format(shown, indent=2)
    head["body_base64"] = base64.b64encode(held.body).decode()
    return json.dumps(head, indent=2, ensure_ascii=False, default=str)
