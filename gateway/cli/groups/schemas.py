"""The subcommands of ``gateway schemas``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.completion import complete_adapters
from gateway.cli.help import Commands

schemas = Commands(
    help="Show the JSON Schemas that events are validated against, or infer one from samples.",
    no_args_is_help=True,
)


@schemas.command("list")
def schemas_list(
    adapter: Annotated[
        str | None,
        typer.Argument(help="List only the schemas of this adapter.", autocompletion=complete_adapters),
    ] = None,
) -> None:
    """List the bundled schemas: event type, title and id.

    An event without a schema for its type is validated against the schema for the longest dotted prefix of the type,
    or else against _envelope.
    """
    from gateway.cli.schemas import run_list

    run_list(adapter)


@schemas.command("show")
def schemas_show(
    adapter: Annotated[
        str,
        typer.Argument(
            help="An adapter listed by `gateway schemas list`.",
            show_default=False,
            autocompletion=complete_adapters,
        ),
    ],
    event: Annotated[str, typer.Argument(help="An event type.", show_default=False)],
) -> None:
    """Print the schema that events of this type are validated against.

    The name of its file is printed to standard error.
    """
    from gateway.cli.schemas import run_show

    run_show(adapter, event)


@schemas.command("infer")
def schemas_infer(
    files: Annotated[
        list[Path], typer.Argument(help="Sample bodies of a single event type.", show_default=False)
    ],
    identifier: Annotated[
        str, typer.Option("--id", help="The $id of the schema; events carry it as dataschema.")
    ] = "urn:webhook-gateway:schema:ADAPTER:EVENT:1",
    title: Annotated[str, typer.Option(help="The title of the schema.")] = "ADAPTER: EVENT",
    depth: Annotated[
        int,
        typer.Option(min=1, max=16, help="Levels of nesting to describe; deeper values are unconstrained."),
    ] = 4,
    with_example: Annotated[
        bool, typer.Option("--with-example", help="Include the first sample as an example.")
    ] = False,
) -> None:
    """Infer a schema from samples: additional properties are allowed; properties that all samples have are required.

    Remove whatever your workers do not rely on: a property that the schema does not mention cannot quarantine an event.

    For example:

    - `gateway schemas infer first.json second.json --title 'Acme: order' > schemas/acme.json`
    """
    from gateway.cli.schemas import run_infer

    run_infer(files, identifier, title, depth, with_example=with_example)
