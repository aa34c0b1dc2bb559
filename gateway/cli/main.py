"""The command line program: its commands in the order of the help, and how it reports errors."""

from __future__ import annotations

import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from gateway import __version__
from gateway.cli.groups.console import console
from gateway.cli.groups.dead import dead
from gateway.cli.groups.endpoints import deliveries, endpoints
from gateway.cli.groups.events import events
from gateway.cli.groups.journal import journal_events
from gateway.cli.groups.look import look
from gateway.cli.groups.outbound import outbound
from gateway.cli.groups.quarantine import quarantine
from gateway.cli.groups.run import run
from gateway.cli.groups.schemas import schemas
from gateway.cli.groups.spool import spool
from gateway.cli.groups.trial import trial
from gateway.cli.groups.unrouted import unrouted
from gateway.cli.help import CONNECT, LOOK, RECOVER, TRY, Commands
from gateway.errors import OperatorError

app = Commands(
    name="gateway",
    help="Receive webhooks, verify their signatures, deduplicate them and publish events to RabbitMQ.",
    epilog=(
        "New here? Run `gateway dev`: it needs no servers and shows events arriving. `gateway COMMAND --help` has examples.\n\n"
        "Exit codes: 0 success, 1 the command failed, 2 invalid usage, 3 invalid configuration, 130 interrupted."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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


@app.command("version", hidden=True, cls=TyperCommand)
def _version() -> None:
    """Show the version."""
    typer.echo(__version__)


app.add_typer(run)
app.add_typer(trial)
app.add_typer(schemas, name="schemas", rich_help_panel=TRY)
app.add_typer(look)
app.add_typer(journal_events, name="events", rich_help_panel=LOOK)
app.add_typer(events)
app.add_typer(console, name="console", rich_help_panel=LOOK)
app.add_typer(dead, name="dead", rich_help_panel=RECOVER)
app.add_typer(quarantine, name="quarantine", rich_help_panel=RECOVER)
app.add_typer(unrouted, name="unrouted", rich_help_panel=RECOVER)
app.add_typer(spool, name="spool", rich_help_panel=RECOVER)
app.add_typer(endpoints, name="endpoints", rich_help_panel=CONNECT)
app.add_typer(deliveries, name="deliveries", rich_help_panel=CONNECT)
app.add_typer(outbound, name="outbound", rich_help_panel=CONNECT)


def main() -> None:
    """Run the program. Print an operator error as one line on standard error, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a payload may have characters that the terminal lacks
    _load_env_file()
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


def _load_env_file() -> None:
    """Set the variables in the file ``.env`` of the working directory that the environment does not set."""
    if not Path(".env").is_file():
        return
    from dotenv import load_dotenv

    with suppress(OSError, ValueError):  # a file that somebody else may not read, or that is not UTF-8
        load_dotenv(".env", interpolate=False)
