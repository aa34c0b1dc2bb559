"""The subcommands of ``gateway endpoints`` and ``gateway deliveries``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.completion import complete_endpoints
from gateway.cli.help import Commands
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

endpoints = Commands(
    help=(
        "See and test the endpoints that events are POSTed to, and decide whether they are sent any.\n\n"
        "They work whether or not a gateway runs. Endpoints stand in config.yaml, below `endpoints`, or are made in the console or through the API. A gateway has to have started with those of config.yaml once.\n\n"
        "Exit codes: 0 success, 1 there is no such endpoint, or the database cannot be used, 3 invalid configuration."
    ),
    no_args_is_help=True,
)

deliveries = Commands(
    help=(
        "See what was sent to endpoints, attempt by attempt, and send it again.\n\n"
        "Exit codes: 0 success, 1 there is no such delivery or endpoint, or the database cannot be used, "
        "3 invalid configuration."
    ),
    no_args_is_help=True,
)

EndpointArgument = Annotated[
    str,
    typer.Argument(
        metavar="ENDPOINT",
        help="The endpoint's id, or its name.",
        show_default=False,
        autocompletion=complete_endpoints,
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        help="Select only deliveries to this endpoint.",
        metavar="ENDPOINT",
        autocompletion=complete_endpoints,
    ),
]
DeliveryArgument = Annotated[
    str, typer.Argument(metavar="DELIVERY", help="The delivery's id.", show_default=False)
]
StateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        help="Select only deliveries in this state: pending, held, delivered, dead or cancelled. Can be repeated.",
        metavar="STATE",
    ),
]
PatternOption = Annotated[
    str | None,
    typer.Option(
        "--match",
        "-m",
        help="Select only events whose routing keys match, such as 'stripe.invoice.*'.",
        metavar="PATTERN",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(help="Select only what was accepted since: 2h, or 2026-11-30T12:00:00Z.", metavar="WHEN"),
]
UntilOption = Annotated[
    str | None, typer.Option(help="Select only what was accepted before.", metavar="WHEN")
]


@endpoints.command("list")
def endpoints_list(json_lines: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the endpoints: name, state, what waits, the last result. Those with problems come first."""
    from gateway.cli.endpoints import run_list

    run_list(config, as_json=json_lines)


@endpoints.command("show")
def endpoints_show(
    endpoint: EndpointArgument, json_lines: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Show an endpoint: its settings, how it is, what waits for it, and its secrets by their fingerprints."""
    from gateway.cli.endpoints import run_show

    run_show(config, endpoint, as_json=json_lines)


@endpoints.command("test")
def endpoints_test(
    endpoint: EndpointArgument,
    event: Annotated[
        str,
        typer.Argument(
            metavar="TYPE",
            help="Such as stripe.invoice.paid; by default a sample that the endpoint wants, or gateway.test.",
            show_default=False,
        ),
    ] = "",
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send an endpoint a signed test event now, and show how it answered.

    The request is signed and sent as every other one. It is not tried again.

    For example:

    - `gateway endpoints test billing`
    - `gateway endpoints test billing stripe.invoice.paid`

    Exit codes: 0 the endpoint took it, 1 it did not, or there is no such endpoint or sample, 3 invalid configuration.
    """
    from gateway.cli.endpoints import run_test

    run_test(config, endpoint, event, as_json=json_lines)


@endpoints.command("enable")
def endpoints_enable(
    endpoint: EndpointArgument,
    resume: Annotated[
        str,
        typer.Option(
            help="Which held deliveries to make: all, none, or those accepted since 2h or a time. The others are cancelled.",
            metavar="WHICH",
        ),
    ] = "all",
    untested: Annotated[
        bool,
        typer.Option("--untested", help="Do not send a test event first to an endpoint that was disabled."),
    ] = False,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send an endpoint events from now on, with its failures forgotten.

    An endpoint that was disabled has to take a test event first.

    For example:

    - `gateway endpoints enable billing`
    - `gateway endpoints enable billing --resume 24h`
    """
    from gateway.cli.endpoints import run_enable

    run_enable(config, endpoint, resume, is_tested=not untested, as_json=json_lines)


@endpoints.command("disable")
def endpoints_disable(
    endpoint: EndpointArgument, json_lines: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Send an endpoint nothing. What it would get is held until somebody enables it."""
    from gateway.cli.endpoints import run_state

    run_state(config, endpoint, "disabled", as_json=json_lines)


@endpoints.command("pause")
def endpoints_pause(
    endpoint: EndpointArgument, json_lines: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Send an endpoint nothing for a while. What it would get waits, and is sent when it is enabled again."""
    from gateway.cli.endpoints import run_state

    run_state(config, endpoint, "paused", as_json=json_lines)


@deliveries.command("list")
def deliveries_list(
    endpoint: EndpointOption = None,
    state: StateOption = None,
    match: PatternOption = None,
    event_id: Annotated[
        str | None, typer.Option("--id", help="Select only the event with this id.", metavar="ID")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=1, help="Maximum number of deliveries, newest first.", metavar="N"),
    ] = 50,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """List deliveries, newest first: time, state, endpoint, event, last result.

    For example:

    - `gateway deliveries list --state dead`
    - `gateway deliveries list --endpoint billing --since 1h --json`
    """
    from gateway.cli.deliveries import Conditions, run_list

    run_list(
        config, Conditions(endpoint, state or [], match, event_id, since, until), limit, as_json=json_lines
    )


@deliveries.command("show")
def deliveries_show(
    delivery: DeliveryArgument, json_lines: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Show a delivery with each of its attempts: status, time, phases, and the beginning of the answer."""
    from gateway.cli.deliveries import run_show

    run_show(config, delivery, as_json=json_lines)


@deliveries.command("redeliver")
def deliveries_redeliver(
    delivery: DeliveryArgument,
    once: Annotated[
        bool, typer.Option("--once", help="Make one attempt alone: if it fails, the delivery is dead.")
    ] = False,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Begin a new round of attempts of a delivery, with the same id and the same bytes.

    A gateway that runs makes them within a second.
    """
    from gateway.cli.deliveries import run_redeliver

    run_redeliver(config, delivery, retries=not once, as_json=json_lines)


@deliveries.command("replay")
def deliveries_replay(
    endpoint: EndpointArgument,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            help="Select only deliveries in this state: dead, held, delivered or cancelled. Can be repeated; by default dead and "
            "held. Pending ones are on their way.",
            metavar="STATE",
        ),
    ] = None,
    match: PatternOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Select only events that meet these conditions, as in `where` of an endpoint: "
            '\'{"/data/status": {"eq": "failed"}}\'. If repeated, any of them.',
            metavar="JSON",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help="Maximum number of deliveries, oldest first.", metavar="N"),
    ] = None,
    rate: Annotated[float, typer.Option(help="Deliveries that become due in a second.", metavar="N")] = 10.0,
    as_new: Annotated[
        bool,
        typer.Option(
            "--as-new", help="Give the receiver a new webhook-id, so that it acts again on what it has seen."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the selected deliveries; change nothing.")
    ] = False,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Begin a new round of many deliveries of an endpoint, oldest first; by default dead and held ones.

    For example:

    - `gateway deliveries replay billing --dry-run`
    - `gateway deliveries replay billing --since 24h --state dead --rate 50`
    - `gateway deliveries replay billing --limit 100`
    """
    from gateway.cli.deliveries import Conditions, ReplayOptions, run_replay

    conditions = Conditions(endpoint, state or [], match, None, since, until)
    options = ReplayOptions(where or [], limit, rate, as_new, dry_run)
    run_replay(config, conditions, options, as_json=json_lines)
