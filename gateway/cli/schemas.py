"""``gateway schemas``: list and show the bundled JSON Schemas, and infer one from samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from gateway.cli.common import did_you_mean
from gateway.cli.tables import print_rows
from gateway.errors import MalformedJson, OperatorError
from gateway.events.schemas import ENVELOPE, Catalogue, SchemaError
from gateway.events.schemas.formatting import format_schema
from gateway.events.schemas.infer import infer
from gateway.events.strict_json import parse_json
from gateway.observability.terminal import printable
from gateway.signatures.units import format_size
from gateway.transport.files import FileTooLarge, read_file

_MAX_SAMPLE = 16 * 1024**2
"""Bytes of a sample: the largest body that a gateway accepts by default is far smaller."""


def run_list(adapter: str | None, *, as_json: bool) -> None:
    """List the bundled schemas."""
    catalogue = Catalogue.bundled()
    adapters = catalogue.adapters() if adapter is None else [_known(catalogue, adapter)]
    found = [
        (name, event_type, catalogue.document(name, event_type))
        for name in adapters
        for event_type in catalogue.event_types(name)
    ]
    if as_json:
        for name, event_type, document in found:
            facts = {
                "adapter": name,
                "event": event_type,
                "title": document.get("title"),
                "id": document["$id"],
            }
            typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    rows = [
        (f"{name}/{event_type}", document.get("title", ""), document["$id"])
        for name, event_type, document in found
    ]
    print_rows(("schema", "title", "id"), rows)
    typer.echo(
        f"{ENVELOPE} applies to all event types of an adapter that have no schema of their own", err=True
    )


def run_show(adapter: str, event_type: str) -> None:
    """Print the schema that events of a type are validated against, and its file name on standard error."""
    catalogue = Catalogue.bundled()
    name = catalogue.name_for(_known(catalogue, adapter), event_type)
    if name is None:
        known = ", ".join(catalogue.event_types(adapter))
        raise OperatorError(f"{adapter} has no schema that applies to {event_type!r}; it has {known}")
    which = (
        "shared by all types without a schema of their own" if name == ENVELOPE else f"the schema of {name}"
    )
    typer.echo(f"{adapter} {event_type}: schemas/{adapter}/{name}.json, {which}", err=True)
    typer.echo(printable(format_schema(catalogue.document(adapter, name)), keep="\n"))


def run_infer(files: list[Path], identifier: str, title: str, depth: int, *, with_example: bool) -> None:
    """Print a schema inferred from samples."""
    samples = [_read_sample(file) for file in files]
    try:
        schema = infer(samples, identifier, title, depth=depth, with_example=with_example)
    except SchemaError as error:
        raise OperatorError(str(error)) from error
    typer.echo(printable(format_schema(schema), keep="\n"))


def _known(catalogue: Catalogue, adapter: str) -> str:
    if adapter not in catalogue.adapters():
        hint = did_you_mean(adapter, catalogue.adapters())
        hint = hint or f"; there are schemas for {', '.join(catalogue.adapters())}"
        raise OperatorError(f"there are no bundled schemas for adapter {adapter!r}{hint}")
    return adapter


def _read_sample(file: Path) -> Any:
    try:
        return parse_json(read_file(file, _MAX_SAMPLE))
    except FileTooLarge:
        raise OperatorError(f"{file}: is larger than {format_size(_MAX_SAMPLE)}") from None
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error
    except MalformedJson as error:
        raise OperatorError(f"{file}: is not JSON that the gateway accepts: {error}") from error
