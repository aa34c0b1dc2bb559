"""The commands for published events: ``tail``, ``replay`` and ``forget``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.help import LOOK, RECOVER, Commands
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    IdArgument,
    JsonOption,
    LimitOption,
    ProviderArgument,
    ProviderFilter,
)

events = Commands()


@events.command(rich_help_panel=LOOK)
def tail(
    pattern: Annotated[
        str, typer.Argument(help="Routing keys to show: * is one word, # is any number of words.")
    ] = "#",
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Stream published events (does not affect other consumers). Press Ctrl-C to stop.

    `gateway events tail` follows the journal instead: it also shows refused requests, attempts of workers and actions.

    For example:

    - `gateway tail`
    - `gateway tail 'stripe.invoice.*'`
    - `gateway tail --json | jq .data`
    """
    from gateway.cli.tail import run_tail

    run_tail(config, pattern, as_json=json_lines)


@events.command(rich_help_panel=RECOVER)
def replay(
    since: Annotated[
        str,
        typer.Option(
            help="Only events received after this: duration (2h) or timestamp.",
            metavar="TIME",
            show_default=False,
        ),
    ],
    until: Annotated[
        str | None,
        typer.Option(help="Only events received before this: RFC 3339 or Unix seconds.", metavar="TIME"),
    ] = None,
    provider: ProviderFilter = None,
    event: Annotated[
        str,
        typer.Option(
            help="Only event types that match: * is one word, # is any number of words.", metavar="PATTERN"
        ),
    ] = "#",
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="Only the event with this id. Can be repeated.", metavar="ID"),
    ] = None,
    to: Annotated[str | None, typer.Option(help="The queue to deliver to.", metavar="QUEUE")] = None,
    limit: LimitOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the selected events; deliver none.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="With --dry-run: print the events as JSON.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Handle events even if the worker has already processed them.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Deliver archived events to one queue again, in their original order; needs archive.enabled.

    Replayed events are unchanged except that they are marked `"replayed": true`. A worker with idempotency skips those
    that it has already processed, unless --force is given. Ctrl-C stops; events already delivered stay in the queue.

    For example:

    - `gateway replay --since 2h -p stripe --event 'invoice.*' --dry-run`
    - `gateway replay --since 2h -p stripe --event 'invoice.*' --to billing-agent`
    - `gateway replay --since 7d --id evt_1QxSample --to billing-agent --force`

    Exit codes: 0 all selected events were delivered, 1 some were not, or there is no archive or no such queue,
    2 invalid usage, 3 invalid configuration.
    """
    from gateway.cli.replay import ReplayOptions, run_replay

    run_replay(
        config, ReplayOptions(to, since, until, provider, event, ids or [], limit, dry_run, force, json_lines)
    )


@events.command(rich_help_panel=RECOVER)
def forget(
    provider: ProviderArgument,
    event_id: IdArgument,
    journal: Annotated[
        bool,
        typer.Option(
            "--journal", help="Erase the event's texts from the journal instead; its outcomes stay."
        ),
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Remove an event from the deduplication store, so that it is accepted if the provider sends it again.

    With --journal, erase the event's id, subject, account and summary from all entries of the journal, as a request for
    erasure demands.

    Exit codes: 0 removed, 1 the event was not there, or the store or the journal is unavailable.
    """
    from gateway.cli.forget import run_forget

    run_forget(config, provider, event_id, in_journal=journal)
