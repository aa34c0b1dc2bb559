"""The commands to try providers and settings with: ``init``, ``send``, ``explain``, ``providers`` and ``check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.completion import complete_adapters, complete_providers, complete_samples
from gateway.cli.help import TRY, Commands
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, ProviderArgument

trial = Commands()


@trial.command(rich_help_panel=TRY)
def init(
    providers: Annotated[
        list[str] | None,
        typer.Argument(
            help="Adapters, such as stripe github; asked for if none is named.",
            show_default=False,
            autocompletion=complete_adapters,
        ),
    ] = None,
    folder: Annotated[Path, typer.Option("--dir", help="Write the files here.", metavar="FOLDER")] = Path(),
    url: Annotated[
        str | None, typer.Option(help="The public address of the gateway, without a path.", metavar="URL")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Begin a project: write config.yaml, .env.example and worker.py, and say what to enter at each provider.

    For example:

    - `gateway init stripe github`
    - `gateway init shopify --dir shop --url https://hooks.example.org`

    Exit codes: 0 success, 1 there is no such adapter, or a file would be overwritten.
    """
    from gateway.cli.init import run_init

    run_init(providers or (), folder, url, force=force)


@trial.command(rich_help_panel=TRY)
def send(
    provider: ProviderArgument,
    event: Annotated[
        str | None,
        typer.Argument(
            help="The event type of a built-in sample.",
            show_default=False,
            autocompletion=complete_samples,
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Send the body in this file instead of a sample.")
    ] = None,
    tamper: Annotated[
        str | None,
        typer.Option(help="Corrupt the request: body, signature, timestamp or replay.", metavar="HOW"),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="Number of events to send, each with its own id.")
    ] = 1,
    repeat: Annotated[int, typer.Option(min=1, help="Number of times to send each event.")] = 1,
    key: Annotated[
        Path | None,
        typer.Option(help="Sign with the private key in this file; the configuration holds the public key."),
    ] = None,
    handshake: Annotated[
        bool, typer.Option("--handshake", help="Send the provider's endpoint verification, not an event.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Write the request to this file instead of sending it; `gateway explain` reads it."
        ),
    ] = None,
    curl: Annotated[
        bool, typer.Option("--curl", help="Print the request as a curl command instead of sending it.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Send to this URL instead of the configured server.bind.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send events as the provider does, signed with the provider's secret, and show the responses.

    For example:

    - `gateway send stripe`
    - `gateway send github pull_request.opened`
    - `gateway send stripe --tamper body`
    - `gateway send acme --count 10000`
    - `gateway send slack --handshake`
    - `gateway send stripe --tamper body --save request.http`
    - `gateway send stripe --curl`

    Exit codes: 0 all responses were as expected, 1 a response was not, the connection failed, or there is no such
    provider, sample or file, 2 invalid usage.
    """
    from gateway.cli.send import SendOptions, run_send

    run_send(
        config, SendOptions(provider, event, file, tamper, count, repeat, url, key, handshake, save, curl)
    )


@trial.command(rich_help_panel=TRY)
def explain(
    file: Annotated[
        Path, typer.Argument(help="A captured request, or - for standard input.", show_default=False)
    ],
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            "-p",
            help="A provider in the configuration, if the request path does not name one.",
            autocompletion=complete_providers,
        ),
    ] = None,
    arrived_at: Annotated[
        str | None,
        typer.Option(
            "--at", help="When the request arrived, as logged: RFC 3339 or Unix seconds.", metavar="TIME"
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Explain offline why a captured request fails verification, by trying common mistakes.

    The file contains raw HTTP (request line, headers, blank line, body) or JSON: an object with method, url, headers
    and body or body_base64. The signature is checked as of the time it was made, unless --at gives the arrival time.
    Neither secrets nor the correct signature are printed.

    The console explains the last refused requests without a capture: they are kept in the gateway's memory, which this
    command does not reach.

    For example:

    - `gateway explain request.http`
    - `gateway explain request.json --provider acme --at 2026-11-21T13:00:20Z`

    Exit codes: 0 the signature is valid, 1 it is not, or the file is not a request, 3 invalid configuration.
    """
    from gateway.cli.explain import run_explain

    run_explain(config, file, provider, arrived_at)


@trial.command(rich_help_panel=TRY)
def providers(
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|WORD",
            help="An adapter to show, or a word to search for.",
            autocompletion=complete_adapters,
        ),
    ] = None,
    json_lines: JsonOption = False,
) -> None:
    """List the adapters, or show one: what its signature covers, and a configuration block to paste.

    For example:

    - `gateway providers`
    - `gateway providers ed25519`
    - `gateway providers stripe`

    Exit codes: 0 success, 1 no adapter has that name or word.
    """
    from gateway.cli.providers import run_providers

    run_providers(word, as_json=json_lines)


@trial.command(rich_help_panel=TRY)
def check(
    config: ConfigOption = DEFAULT_CONFIG,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="Print the JSON Schema of the configuration file instead.")
    ] = False,
    connect: Annotated[
        bool,
        typer.Option(
            "--connect",
            help="Also ask Redis whether it takes claims, RabbitMQ on which nodes its queues are and how large a message it "
            "takes, and the database of deliveries whether it can be used.",
        ),
    ] = False,
) -> None:
    """Validate the configuration and the schemas, without starting anything.

    Each error is one line: file, line number, path of the setting, and how to fix it.

    Exit codes: 0 valid, 1 Redis takes no claims, RabbitMQ cannot be asked or the database of deliveries cannot be used,
    3 invalid configuration.
    """
    from gateway.cli.check import run_check
    from gateway.config.reference import config_schema

    if json_schema:
        typer.echo(json.dumps(config_schema(), indent=2))
    else:
        run_check(config, connects=connect)
