"""The subcommands of ``gateway events``: they read the journal, whether or not a gateway runs."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.help import Commands
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, ProviderFilter

journal_events = Commands(
    help=(
        "Find an event in the journal, see what happened to it, and follow what happens.\n\n"
        "The journal has an entry for each request, each attempt of a worker, and each action of a person. It can be read "
        "whether or not a gateway runs.\n\n"
        "A query is a row of conditions, all of which have to hold: an id, or KEY:VALUE. The keys are kind, provider, "
        "type, outcome, reason, queue, id, subject, account, actor, client, secret, request, ms, since, until and is. A "
        "bare id is tried as event id, subject, account and trace id.\n\n"
        "Exit codes: 0 success, 1 no such event, or the journal cannot be read, 2 invalid usage, 3 invalid configuration."
    ),
    no_args_is_help=True,
)

QueryWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[QUERY]...",
        help="Conditions, such as 'type:invoice.*' outcome:dead 'ms:>500'.",
        show_default=False,
    ),
]
QueryOption = Annotated[
    str,
    typer.Option(
        "--query", "-q", help="Conditions in one text, as well.", metavar="QUERY", show_default=False
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", help="Only from this moment on: duration (2h) or time.", metavar="TIME"),
]


@journal_events.command("list")
def events_list(
    words: QueryWords = None,
    query: QueryOption = "",
    provider: ProviderFilter = None,
    since: SinceOption = None,
    until: Annotated[
        str | None,
        typer.Option("--until", help="Only before this moment: duration (2h) or time.", metavar="TIME"),
    ] = None,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", min=1, help="Maximum number of entries, newest first.", metavar="N"),
    ] = 50,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Search the journal: what happened to requests and events, newest first.

    For example:

    - `gateway events list`
    - `gateway events list is:failed --since 2h`
    - `gateway events list provider:stripe 'type:invoice.*' outcome:dead`
    - `gateway events list in_1QxSample`
    - `gateway events list reason:signature_mismatch --json | jq .client`

    Exit codes: 0 success, also if nothing matches, 1 the journal cannot be read, 2 the query cannot be understood.
    """
    from gateway.cli.events import Selection, run_list

    run_list(config, Selection(_joined(words, query), provider, since, until), limit, as_json=json_lines)


@journal_events.command("show")
def events_show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event id.", show_default=False)],
    provider: ProviderFilter = None,
    around: Annotated[
        str | None,
        typer.Option(
            "--around",
            help="If there is no such event: when it should have come, to count the refusals of that time.",
            metavar="TIME",
        ),
    ] = None,
    payload: Annotated[
        bool, typer.Option("--payload", help="Also print the event itself, if it is still kept somewhere.")
    ] = False,
    shape: Annotated[
        bool, typer.Option("--shape", help="Also print its keys, types and lengths, without the values.")
    ] = False,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show one event: how it stands, its timeline from request to agent, and what belongs to it.

    If the journal has no such event, show what is known instead: since when the journal has entries, whether the event
    was published before, the provider's last event, and which of its requests were refused.

    For example:

    - `gateway events show evt_1QxSample`
    - `gateway events show evt_1QxSample --payload`
    - `gateway events show evt_1QxSample -p stripe --around 2026-11-30T09:00:00Z`

    Exit codes: 0 the event was found, 1 it was not, or the journal cannot be read, 2 invalid usage.
    """
    from gateway.cli.events import ShowOptions, run_show

    run_show(config, event_id, provider, ShowOptions(around, payload, shape, json_lines))


@journal_events.command("tail")
def events_tail(
    words: QueryWords = None,
    query: QueryOption = "",
    provider: ProviderFilter = None,
    count: Annotated[
        int,
        typer.Option(
            "--lines", "-n", min=0, max=500, help="Begin with this many earlier entries.", metavar="N"
        ),
    ] = 10,
    json_lines: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Follow the journal: each request, attempt and action, also those that failed. Press Ctrl-C to stop.

    `gateway tail` streams published events from the broker, with their data. This command shows what happens to them,
    and requests that were refused, a second or two after it happened.

    For example:

    - `gateway events tail`
    - `gateway events tail is:failed`
    - `gateway events tail -p stripe --json`
    """
    from gateway.cli.events import Selection, run_tail

    run_tail(config, Selection(_joined(words, query), provider, None), count, as_json=json_lines)


def _joined(words: list[str] | None, query: str) -> str:
    return " ".join([*(words or []), query]).strip()
