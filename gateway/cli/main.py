"""The command line program: its top-level commands, and how it reports errors."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli.groups.dead import dead
from gateway.cli.groups.quarantine import quarantine
from gateway.cli.groups.run import run
from gateway.cli.groups.schemas import schemas
from gateway.cli.groups.spool import spool
from gateway.cli.groups.trial import trial
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    IdArgument,
    JsonOption,
    LimitOption,
    ProviderFilter,
)
from gateway.errors import OperatorError

app = typer.Typer(
    name="gateway",
    help="Receive webhooks, verify their signatures, and publish each event to RabbitMQ without duplicates.",
    epilog="New here? Run `gateway dev`: it needs no servers and shows events arriving.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


app.add_typer(run)
app.add_typer(trial)
app.add_typer(schemas, name="schemas", rich_help_panel="Try")


@app.command(rich_help_panel="Look")
def tail(
    pattern: Annotated[
        str, typer.Argument(help="Routing keys to show: * is one word, # is any number of words.")
    ] = "#",
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Stream published events (does not affect other consumers). Press Ctrl-C to stop.

    For example:

    - `gateway tail`
    - `gateway tail 'stripe.invoice.*'`
    - `gateway tail --json | jq .data`
    """
    from gateway.cli.tail import run_tail

    run_tail(config, pattern, as_json=json_lines)


@app.command(rich_help_panel="Recover")
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
        list[str] | None, typer.Option("--id", help="Only the event with this id. Can be repeated.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The queue to deliver to.", metavar="QUEUE")] = None,
    limit: LimitOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the selected events; deliver none.")
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

    - `gateway replay --since 2h --provider stripe --event 'invoice.*' --dry-run`
    - `gateway replay --since 2h --provider stripe --event 'invoice.*' --to billing-agent`
    - `gateway replay --since 7d --id evt_1QxSamplePaidOrder --to billing-agent --force`

    Exit codes: 0 all selected events were delivered, 1 some were not, or there is no archive or no such queue,
    2 invalid usage, 3 invalid configuration.
    """
    from gateway.cli.replay import run_replay

    run_replay(config, to, since, until, provider, event, ids or [], limit, is_dry=dry_run, is_forced=force)


@app.command(rich_help_panel="Recover")
def forget(
    provider: Annotated[str, typer.Argument(help="A provider in the configuration.", show_default=False)],
    event_id: IdArgument,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Remove an event from the deduplication store, so that it is accepted if the provider sends it again.

    Exit codes: 0 removed, 1 the event was not in the store, or the store is unavailable.
    """
    from gateway.cli.forget import run_forget

    run_forget(config, provider, event_id)


app.add_typer(dead, name="dead", rich_help_panel="Recover")
app.add_typer(quarantine, name="quarantine", rich_help_panel="Recover")
app.add_typer(spool, name="spool", rich_help_panel="Recover")


def main() -> None:
    """Run the program. Print an operator error as one line on standard error, without a traceback."""
    try:
        app()
    except OperatorError as error:
        from gateway.observability.terminal import printable

        print(printable(str(error), keep="\n"), file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `gateway tail | head`
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
