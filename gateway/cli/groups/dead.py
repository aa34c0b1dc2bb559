"""The subcommands of ``gateway dead``."""

from __future__ import annotations

from typing import Annotated

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
    QueueArgument,
    ReasonFilter,
    TypeFilter,
    dead_letter_filter,
)

dead = Commands(
    help=(
        "Inspect, redrive and delete dead-lettered events: those that exhausted their retries or that a handler rejected.\n\n"
        "Events are read in queue order and stay in the dead-letter queue until they are redriven or dropped. While a "
        "command reads the queue, no other consumer receives its events.\n\n"
        "Exit codes: 0 success, 1 no such queue or event, or the broker is unreachable, 3 invalid configuration."
    ),
    no_args_is_help=True,
)


@dead.command("list")
def dead_list(
    queue: QueueArgument,
    provider: ProviderFilter = None,
    event: TypeFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List dead-lettered events: time of the last failure, provider, event type, id, attempts, reason.

    For example:

    - `gateway dead list billing-agent`
    - `gateway dead list billing-agent --event 'invoice.*' --reason timeout --json`
    """
    from gateway.cli.dead import run_list

    run_list(config, queue, dead_letter_filter(provider, event, event_id, reason), limit, as_json=json_lines)


@dead.command("show")
def dead_show(queue: QueueArgument, event_id: IdArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print an event in full, with its message headers."""
    from gateway.cli.dead import run_show

    run_show(config, queue, event_id)


@dead.command("redrive")
def dead_redrive(
    queue: QueueArgument,
    provider: ProviderFilter = None,
    event: TypeFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Return dead-lettered events to the worker's queue and reset the attempt counter.

    Each event is published to the queue and confirmed before it is removed from the dead-letter queue. Interrupting
    the command with Ctrl-C loses nothing; at worst one event is duplicated, with the same id.
    """
    from gateway.cli.dead import run_redrive

    run_redrive(config, queue, dead_letter_filter(provider, event, event_id, reason), limit, dry_run=dry_run)


@dead.command("drop")
def dead_drop(
    queue: QueueArgument,
    provider: ProviderFilter = None,
    event: TypeFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Delete dead-lettered events permanently, after listing them and asking for confirmation."""
    from gateway.cli.dead import run_drop

    run_drop(config, queue, dead_letter_filter(provider, event, event_id, reason), limit, is_confirmed=yes)
