"""The subcommands of ``gateway spool``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.help import Commands
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption

spool = Commands(
    help=(
        "Inspect and drain the spool: events stored on disk while RabbitMQ is unavailable.\n\n"
        "All subcommands except drain are read-only and can be used while the gateway runs. None of them needs the "
        "providers' secrets.\n\n"
        "Exit codes: 0 success, 1 the command failed or an event is damaged, 3 invalid configuration."
    ),
    no_args_is_help=True,
)


@spool.command("show")
def spool_show(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the number, age and size of spooled events, and whether a gateway uses the spool."""
    from gateway.cli.spool import run_show

    run_show(config)


@spool.command("verify")
def spool_verify(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Check the spool file, and every event in it against its digest. Read-only.

    Exit codes: 0 no damage found, 1 an event or the file is damaged, or events were set aside as corrupt.
    """
    from gateway.cli.spool import run_verify

    run_verify(config)


@spool.command("drain")
def spool_drain(
    corrupt: Annotated[
        bool,
        typer.Option(
            "--corrupt",
            help="First restore the undamaged events that were set aside, e.g. after max_message_size was raised.",
        ),
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Publish all spooled events; stop the gateway first (e.g. before decommissioning a host).

    Each event is deleted once RabbitMQ has confirmed it. Interrupting the command with Ctrl-C loses nothing: the
    remaining events stay in the spool.

    Exit codes: 0 the spool is empty, 1 a gateway is running, RabbitMQ does not accept events, or corrupt events were
    set aside.
    """
    from gateway.cli.spool import run_drain

    run_drain(config, corrupt=corrupt)


@spool.command("export")
def spool_export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this new file instead of standard output.")
    ] = None,
    corrupt: Annotated[
        bool, typer.Option("--corrupt", help="Export the corrupt events that were set aside, with reasons.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print all spooled events, one JSON object per line, and leave them in the spool.

    Values that are not text are base64-encoded, in fields with the suffix _base64.

    For example:

    - `gateway spool export | jq -r .body | jq .data`
    - `gateway spool export --corrupt -o corrupt.jsonl`
    """
    from gateway.cli.spool_export import run_export

    run_export(config, output, corrupt=corrupt)
