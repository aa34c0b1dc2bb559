"""``gateway events``: search the journal, show one event, and follow what happens.

The module is over 200 lines: its three commands share what they select by and how they print.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import typer

from gateway.cli.common import did_you_mean, run
from gateway.cli.dead_letters import load_quietly
from gateway.cli.entry_lines import show_entry
from gateway.cli.event_page import print_event, print_missing
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.journal.entry import Entry
from gateway.journal.query import Query
from gateway.journal.query_language import QueryError, format_query, parse_moment, parse_query
from gateway.observability.terminal import one_line, printable
from gateway.operations.actions import Action, report_action
from gateway.operations.event_models import EventView, Payload
from gateway.operations.events import event_view, not_found, payload
from gateway.operations.journal_reading import catch_up, reading_journal
from gateway.operations.plain import plain
from gateway.operations.search import search

_POLL_INTERVAL = 0.5
"""Seconds between two looks at the journal; processes write to it five times a second."""

_CATCH_UP_INTERVAL = 2.0
"""Seconds between two looks at the reports of workers, where no console reads them."""

_MAX_SHOWN = 500
"""Entries that are read at a time."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries a command is about.

    Attributes:
        query: A query in the language of the journal.
        provider: Only this provider.
        since: Only entries from this moment on, or younger than this duration.
        until: Only entries before this moment.
    """

    query: str
    provider: str | None
    since: str | None
    until: str | None = None

    def parse(self, config: Config, now: float) -> Query:
        """Return the query.

        Raises:
            typer.BadParameter: It cannot be understood.
            OperatorError: The configuration has no such provider.
        """
        try:
            query = parse_query(self.query, now)
            if self.since is not None:
                query = replace(query, since=_moment(query.since, "since", self.since, now))
            if self.until is not None:
                query = replace(query, until=_moment(query.until, "until", self.until, now))
        except QueryError as error:
            raise typer.BadParameter(one_line(str(error))) from None
        if self.provider is not None:
            expect_provider(config, self.provider)
            query = replace(query, providers=(*query.providers, self.provider))
        return query


def _moment(found: float | None, name: str, text: str, now: float) -> float:
    if found is not None:
        raise QueryError(f"{name}: is in the query, and --{name} is given")
    return parse_moment(text, now)


def expect_provider(config: Config, provider: str) -> None:
    """Check that the configuration has a provider.

    Raises:
        OperatorError: It has none of that name. Its entries can be found with a query all the same.
    """
    if provider not in config.providers:
        hint = did_you_mean(provider, config.providers) or f"; it has {', '.join(sorted(config.providers))}"
        raise OperatorError(f"the configuration has no provider {provider!r}{hint}")


def run_list(path: Path, selection: Selection, limit: int, *, as_json: bool) -> None:
    """Print entries, newest first; how far the search looked goes to standard error."""
    config = load_quietly(path)
    query = selection.parse(config, time.time())
    run(_list(config, query, limit, as_json=as_json))


async def _list(config: Config, query: Query, limit: int, *, as_json: bool) -> None:
    async with reading_journal(config) as journal:
        shown, before = 0, None
        while True:
            page = await asyncio.to_thread(
                search, journal, query, before=before, limit=min(limit - shown, _MAX_SHOWN), now=time.time()
            )
            for entry in page.entries:
                typer.echo(orjson.dumps(plain(entry)).decode() if as_json else show_entry(entry))
            shown, before = shown + len(page.entries), page.next
            # A page may end because its time is over: the command has more patience than a web page.
            if before is None or shown >= limit or page.is_complete:
                break
    if shown and before is None:
        typer.echo(f"{_entries(shown)}; there are no more.", err=True)
    elif shown:
        typer.echo(f"{_entries(shown)}; there are more: raise --limit.", err=True)
    else:
        typer.echo(one_line(page.headline), err=True)
        for relaxation in page.relaxations:
            more = "or more " if relaxation.is_more else ""
            typer.echo(
                f"Without {relaxation.key}: {relaxation.found} {more}({one_line(format_query(relaxation.query))})",
                err=True,
            )


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What ``gateway events show`` prints beside the timeline.

    Attributes:
        around: When the event should have come.
        payload: Whether to print the event itself.
        shape: Whether to print its shape.
        as_json: Whether to print one JSON object.
    """

    around: str | None = None
    payload: bool = False
    shape: bool = False
    as_json: bool = False


def run_show(path: Path, event_id: str, provider: str | None, options: ShowOptions) -> None:
    """Print what is known of an event; exit with 1 if nothing is."""
    config = load_quietly(path)
    now = time.time()
    try:
        around = None if options.around is None else parse_moment(options.around, now)
    except QueryError as error:
        raise typer.BadParameter(one_line(str(error)), param_hint="--around") from None
    if provider is not None and provider not in config.providers:
        expect_provider(config, provider)
    if not run(_show(config, event_id, provider or "", options, now, around)):
        raise typer.Exit(1)


async def _show(
    config: Config, event_id: str, provider: str, options: ShowOptions, now: float, around: float | None
) -> bool:
    async with reading_journal(config) as journal:
        view = await asyncio.to_thread(event_view, config, journal, event_id, provider, now=now)
        if view is None:
            missing = await not_found(config, journal, event_id, provider, now=now, around=around)
            if options.as_json:
                typer.echo(orjson.dumps({"found": False, **plain(missing)}).decode())
            else:
                print_missing(missing)
            return False
    found = await _payload(config, view, options) if options.payload or options.shape else None
    if options.as_json:
        more = {"payload": _payload_as_json(found)} if options.payload or options.shape else {}
        typer.echo(orjson.dumps({"found": True, **plain(view), **more}).decode())
    else:
        print_event(view, now)
        if options.payload or options.shape:
            _print_payload(found)
    return True


async def _payload(config: Config, view: EventView, options: ShowOptions) -> Payload | None:
    found = await payload(config, view, is_whole=options.payload)
    if found is not None and options.payload:
        await report_action(
            config,
            Action.VIEWED,
            routing_key=f"{view.provider}.{view.type}",
            event_id=view.event_id,
            queue=found.place.queue,
        )
    return found


def _payload_as_json(found: Payload | None) -> object:
    return (
        None
        if found is None
        else {"place": plain(found.place), "headers": found.headers, "event": found.event}
    )


def _print_payload(found: Payload | None) -> None:
    typer.echo()
    if found is None:
        raise OperatorError("the event itself is in none of the places where it could be")
    typer.echo(one_line(found.place.text), err=True)
    typer.echo(printable(json.dumps(found.event, indent=2, ensure_ascii=False), keep="\n"))


def run_tail(path: Path, selection: Selection, count: int, *, as_json: bool) -> None:
    """Print entries as they come, until Ctrl-C."""
    config = load_quietly(path)
    query = selection.parse(config, time.time())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        run(_tail(config, query, count, as_json=as_json))


async def _tail(config: Config, query: Query, count: int, *, as_json: bool) -> None:
    def show(entries: Iterable[Entry]) -> None:
        for entry in entries:
            typer.echo(orjson.dumps(plain(entry)).decode() if as_json else show_entry(entry))
        sys.stdout.flush()

    async with reading_journal(config) as journal:
        position = await asyncio.to_thread(journal.position)
        if count:
            page = await asyncio.to_thread(journal.find, query, limit=count, budget=1.0)
            show(reversed(page.entries))
        if not as_json:
            typer.echo("Waiting for what happens. Press Ctrl-C to stop.", err=True)
        caught_up_at = time.monotonic()
        while True:
            arrivals = await asyncio.to_thread(journal.follow, query, position, _MAX_SHOWN)
            position = arrivals.position
            show(arrivals.entries)
            if len(arrivals.entries) < _MAX_SHOWN:
                await asyncio.sleep(_POLL_INTERVAL)
            if time.monotonic() - caught_up_at > _CATCH_UP_INTERVAL:
                await catch_up(config)
                caught_up_at = time.monotonic()
