"""Arguments and options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.completion import DEFAULT_CONFIG as DEFAULT_CONFIG_NAME
from gateway.cli.completion import complete_providers, complete_queues

if TYPE_CHECKING:
    from gateway.queues.filter import EventFilter

DEFAULT_CONFIG = Path(DEFAULT_CONFIG_NAME)

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", help="Path of the configuration file.", envvar="GATEWAY_CONFIG", show_envvar=True
    ),
]
BindOption = Annotated[
    list[str] | None,
    typer.Option(help="Listen on this address instead of server.bind. Can be repeated.", metavar="HOST:PORT"),
]
AdminBindOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Listen on this address instead of server.admin_bind. Can be repeated.", metavar="HOST:PORT"
    ),
]
LogFormatOption = Annotated[
    str | None,
    typer.Option(
        help="Log format: json for programs, console for people; by default console on a terminal, json elsewhere.",
        metavar="FORMAT",
    ),
]

QueueArgument = Annotated[
    str,
    typer.Argument(
        help="A worker's queue; its dead-letter queue is QUEUE.dead.",
        show_default=False,
        autocompletion=complete_queues,
    ),
]
ProviderArgument = Annotated[
    str,
    typer.Argument(
        help="A provider in the configuration.", show_default=False, autocompletion=complete_providers
    ),
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The event id.", show_default=False)]
ProviderFilter = Annotated[
    str | None,
    typer.Option(
        "--provider",
        "-p",
        help="Select only events from this provider.",
        autocompletion=complete_providers,
    ),
]
TypeFilter = Annotated[
    str | None,
    typer.Option(
        "--event",
        "-e",
        help="Select only event types that match: * is one word, # is any number of words.",
        metavar="PATTERN",
    ),
]
IdFilter = Annotated[
    str | None, typer.Option("--id", help="Select only the event with this id.", metavar="ID")
]
ReasonFilter = Annotated[
    str | None,
    typer.Option(
        "--reason",
        "-r",
        help="Select only events whose failure reason contains this text.",
        metavar="TEXT",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", "-n", min=1, help="Maximum number of events, oldest first.", metavar="N"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="List the selected events; change nothing.")]


def dead_letter_filter(
    provider: str | None, pattern: str | None, event_id: str | None, reason: str | None
) -> EventFilter:
    """Combine the options that select dead-lettered or quarantined events."""
    from gateway.queues.filter import EventFilter

    return EventFilter(provider, pattern, [event_id] if event_id else (), reason)
