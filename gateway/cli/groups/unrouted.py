"""The subcommands of ``gateway unrouted``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.help import Commands
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DryRunOption,
    IdArgument,
    IdFilter,
    JsonOption,
    LimitOption,
    ProviderFilter,
)

if TYPE_CHECKING:
    from gateway.queues.unrouted import UnroutedFilter

unrouted = Commands(
    help=(
        "Inspect events that no queue was bound for, and route them to a worker's queue.\n\n"
        "Events that come before the first worker wait in the queue EXCHANGE.unrouted until they are routed. While a "
        "command reads the queue, no other consumer receives its events.\n\n"
        "Exit codes: 0 success, 1 no such queue or event, or the broker is unreachable, 2 no events were named, "
        "3 invalid configuration."
    ),
    no_args_is_help=True,
)

PatternFilter = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        "-e",
        help="Select only events whose routing key (provider.type) or type matches. Can be repeated.",
        metavar="PATTERN",
    ),
]


@unrouted.command("list")
def unrouted_list(
    provider: ProviderFilter = None,
    event: PatternFilter = None,
    event_id: IdFilter = None,
    limit: LimitOption = None,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List unrouted events: time received, provider, event type, id.

    For example:

    - `gateway unrouted list`
    - `gateway unrouted list --event 'stripe.invoice.*' --json`
    """
    from gateway.cli.unrouted import run_list

    run_list(config, _filter(provider, event, event_id), limit, as_json=json_lines)


@unrouted.command("show")
def unrouted_show(event_id: IdArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print an event in full, with its message headers."""
    from gateway.cli.unrouted import run_show

    run_show(config, event_id)


@unrouted.command("route")
def unrouted_route(
    to: Annotated[str, typer.Option(help="The queue that gets the events; it must exist.", metavar="QUEUE")],
    provider: ProviderFilter = None,
    event: PatternFilter = None,
    event_id: IdFilter = None,
    takes_all: Annotated[bool, typer.Option("--all", help="Route all unrouted events.")] = False,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Move unrouted events to a worker's queue, oldest first.

    Each event is published to the queue and confirmed before it is removed. Interrupting the command with Ctrl-C loses
    nothing; at worst one event is duplicated, with the same id.

    For example:

    - `gateway unrouted route --to billing-agent --event 'stripe.invoice.*' --dry-run`
    - `gateway unrouted route --to billing-agent --provider stripe`
    """
    from gateway.cli.unrouted import run_route

    event_filter = _filter(provider, event, event_id)
    run_route(config, to, event_filter, limit, takes_all=takes_all, dry_run=dry_run, as_json=json_lines)


def _filter(provider: str | None, patterns: list[str] | None, event_id: str | None) -> UnroutedFilter:
    from gateway.queues.unrouted import UnroutedFilter

    return UnroutedFilter(provider, ids=[event_id] if event_id else (), patterns=tuple(patterns or ()))
