"""The commands that look at the whole: ``status`` and ``secrets``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.completion import complete_providers
from gateway.cli.help import LOOK, Commands
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

look = Commands()


@look.command(rich_help_panel=LOOK)
def status(json_lines: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show how everything is: processes, spool, queues and stores, what is wrong, and what to do.

    It works whether or not a gateway runs here. A server that is away is reported; the rest is shown all the same.

    For example:

    - `gateway status`
    - `gateway status --json | jq '.problems[].text'`

    Exit codes: 0 all well, or only notices, 1 something needs somebody, 3 invalid configuration.
    """
    from gateway.cli.status import run_status

    run_status(config, as_json=json_lines)


@look.command(rich_help_panel=LOOK)
def secrets(
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider", "-p", help="Only the secrets of this provider.", autocompletion=complete_providers
        ),
    ] = None,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show which secrets the providers sign with, and which can be removed from the configuration.

    A secret is named by its position and a fingerprint; the secret itself is never shown. It is safe to remove once
    another one has matched 20 times, and it has not matched for longer than the provider repeats its requests.

    For example:

    - `gateway secrets`
    - `gateway secrets -p stripe --json`

    Exit codes: 0 success, 1 a secret is safe to remove and was configured more than 30 days ago, or the journal cannot be
    read, 3 invalid configuration.
    """
    from gateway.cli.secrets import run_secrets

    run_secrets(config, provider, as_json=json_lines)
