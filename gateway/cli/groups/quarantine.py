"""The subcommands of ``gateway quarantine``."""

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
    ReasonFilter,
    TypeFilter,
    dead_letter_filter,
)

AgentsOption = Annotated[
    bool,
    typer.Option(
        "--agents", help="What agents have published to `agents` and cannot be delivered to endpoints."
    ),
]

quarantine = Commands(
    help=(
        "Inspect, revalidate and release quarantined events: verified events that violate their schema.\n\n"
        "Events stay in the quarantine until they are released. None of the subcommands needs the providers' secrets.\n\n"
        "Exit codes: 0 success, 1 no such event, a schema is unusable, or the broker is unreachable, "
        "3 invalid configuration."
    ),
    no_args_is_help=True,
)


@quarantine.command("list")
def quarantine_list(
    provider: ProviderFilter = None,
    event: TypeFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    agents: AgentsOption = False,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List quarantined events: time received, provider, event type, id, schema violations."""
    from gateway.cli.quarantine import run_list

    run_list(
        config,
        dead_letter_filter(provider, event, event_id, reason),
        limit,
        of_agents=agents,
        as_json=json_lines,
    )


@quarantine.command("show")
def quarantine_show(
    event_id: IdArgument, agents: AgentsOption = False, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Print an event in full, with its message headers."""
    from gateway.cli.quarantine import run_show

    run_show(config, event_id, of_agents=agents)


@quarantine.command("revalidate")
def quarantine_revalidate(
    provider: ProviderFilter = None,
    event: TypeFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    agents: AgentsOption = False,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Validate quarantined events against the current schemas, without releasing any.

    Fields that `redact` has masked are validated in their masked form.
    """
    from gateway.cli.quarantine import run_revalidate

    run_revalidate(
        config,
        dead_letter_filter(provider, event, event_id, reason),
        limit,
        of_agents=agents,
        as_json=json_lines,
    )


@quarantine.command("release")
def quarantine_release(
    provider: ProviderFilter = None,
    event: TypeFilter = None,
    event_id: IdFilter = None,
    reason: ReasonFilter = None,
    limit: LimitOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also release events that still violate their schema.")
    ] = False,
    agents: AgentsOption = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Publish the quarantined events that pass the current schemas, as if they had just been received.

    Each event goes to the events exchange with its original routing key, id and data, marked `"released": true`. It is
    removed from the quarantine once RabbitMQ has confirmed it. Interrupting the command with Ctrl-C loses nothing; at
    worst one event is duplicated, with the same id.

    For example:

    - `gateway quarantine release --provider acme --dry-run`
    """
    from gateway.cli.quarantine import run_release

    run_release(
        config,
        dead_letter_filter(provider, event, event_id, reason),
        limit,
        of_agents=agents,
        is_forced=force,
        dry_run=dry_run,
    )
