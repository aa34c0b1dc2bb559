"""The subcommands of ``gateway outbound``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.help import Commands
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LogFormatOption

outbound = Commands(
    help=(
        "Run the process that delivers events to endpoints by itself, see how it is, and manage its database.\n\n"
        "`gateway serve` runs it as well. `gateway endpoints` and `gateway deliveries` are about single ones."
    ),
    no_args_is_help=True,
)


@outbound.command("run")
def outbound_run(
    metrics: Annotated[
        str | None, typer.Option(help="Serve Prometheus metrics at /metrics here.", metavar="HOST:PORT")
    ] = None,
    log_format: LogFormatOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Deliver events to endpoints in a process of its own, apart from the gateways that receive.

    It needs the configuration and the secrets of the gateway. With `outbound.separate: true`, `gateway serve` leaves deliveries
    to it. Several processes, on several machines with one PostgreSQL, share the endpoints.

    Signals: on SIGTERM, attempts have 20 seconds for their end; a second one exits at once, and what was under way is sent
    again, with the same id. SIGHUP reloads the configuration.

    For example:

    - `gateway outbound run`
    - `gateway outbound run --metrics 127.0.0.1:9465`

    Exit codes: 0 stopped by a signal, 1 an address is in use, or the database has tables of another version or lacks its key,
    3 invalid configuration.
    """
    from gateway.cli.outbound import run_run

    run_run(config, log_format, metrics)


@outbound.command("show")
def outbound_show(json_lines: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show the processes that deliver, how the endpoints are, what waits, and which endpoints need somebody.

    It asks the database, whether or not a gateway runs.

    Exit codes: 0 every endpoint has an owner, 1 some have none, or the database cannot be used, 3 invalid configuration.
    """
    from gateway.cli.outbound import run_show

    run_show(config, as_json=json_lines)


@outbound.command("migrate")
def outbound_migrate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which version the tables have; change nothing.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Bring the tables of endpoints and deliveries to the version of this program.

    A gateway with a newer program refuses to use tables in PostgreSQL that are older: others may still need them. Gateways of the
    former version go on until they end, and do not start again. In SQLite the gateway migrates its own file when it starts.

    Exit codes: 0 the tables have the version of this program, 1 they are newer, or the database cannot be used,
    3 invalid configuration.
    """
    from gateway.cli.outbound import run_migrate

    run_migrate(config, dry_run=dry_run)


@outbound.command("rekey")
def outbound_rekey(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Encrypt the secrets of endpoints in the database with the newest key.

    First put the new key in front of the old one in `outbound.keys` (or in the file `outbound.keys` of data_dir) and start all
    gateways anew, so that each can read both. Then run this, and remove the old key.

    Exit codes: 0 success, 1 a key is missing, or the database cannot be used, 3 invalid configuration.
    """
    from gateway.cli.outbound import run_rekey

    run_rekey(config)
