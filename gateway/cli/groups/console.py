"""The subcommands of ``gateway console``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.help import Commands
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

console = Commands(
    help=(
        "Get into the console: links that log a browser in, and tokens for people and programs.\n\n"
        "The commands work on this machine, with the files of data_dir, whether or not a gateway runs. Each is in the "
        "audit.\n\n"
        "Exit codes: 0 success, 1 the command failed, 2 invalid usage, 3 invalid configuration."
    ),
    no_args_is_help=True,
)

tokens = Commands(
    help=(
        "List, create and revoke the tokens of the console and its API.\n\n"
        "A token is sent as `Authorization: Bearer TOKEN`, or pasted into the login form. Its text is shown once; only "
        "its SHA-256 is kept."
    ),
    no_args_is_help=True,
)

RoleOption = Annotated[
    str,
    typer.Option(
        help="viewer sees no payloads, operator acts on events, admin drops events and manages tokens.",
        metavar="ROLE",
    ),
]


@console.command("link")
def console_link(role: RoleOption = "admin", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print a link that logs a browser into the console, once, within a minute.

    For example:

    - `gateway console link`
    - `gateway console link --role viewer`
    """
    from gateway.cli.console import run_link

    run_link(config, role)


@tokens.command("list")
def tokens_list(as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List all tokens: name, role, id, last use and end. The tokens themselves are not shown."""
    from gateway.cli.console import run_list

    run_list(config, as_json=as_json)


@tokens.command("create")
def tokens_create(
    name: Annotated[str, typer.Argument(help="Who will use it; it is in the audit.", show_default=False)],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.", metavar="ROLE", show_default=False)],
    lifetime: Annotated[
        str | None,
        typer.Option(help="Time until it ends, such as 90d; by default it does not end.", metavar="DURATION"),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Create a token and print it, once, as the only line on standard output.

    For example:

    - `gateway console tokens create ci --role viewer --lifetime 90d`
    """
    from gateway.cli.console import run_create

    run_create(config, name, role, lifetime)


@tokens.command("revoke")
def tokens_revoke(
    name: Annotated[str, typer.Argument(help="Its name or id.", show_default=False)],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Revoke a token; sessions that were begun with it end.

    For example:

    - `gateway console tokens revoke ci`
    """
    from gateway.cli.console import run_revoke

    run_revoke(config, name)


console.add_typer(tokens, name="tokens")
