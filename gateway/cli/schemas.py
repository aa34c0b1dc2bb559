"""``gateway schemas``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from gateway.errors import MalformedJson, OperatorError
from gateway.events.schemas import ENVELOPE, Catalogue, SchemaError
from gateway.events.schemas.infer import infer
from gateway.events.strict_json import parse_json
from gateway.observability.terminal import printable

_LARGEST_SAMPLE = 16 * 1024**2
_LONGEST_LINE = 88


def run_list(adapter: str | None) -> None:
    """List the schemas that come with the gateway."""
    catalogue = Catalogue.bundled()
    adapters = catalogue.adapters() if adapter is None else [_known(catalogue, adapter)]
    rows = [
        (f"{name}/{event_type}", document.get("title", ""), document["$id"])
        for name in adapters
        for event_type in catalogue.event_types(name)
        for document in [catalogue.document(name, event_type)]
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, title, identifier in rows:
        typer.echo(f"{name:<{widths[0]}}  {title:<{widths[1]}}  {identifier}")
    typer.echo(f"{ENVELOPE} is for all events of an adapter that have none of their own", err=True)


def run_show(adapter: str, event_type: str) -> None:
    """Print the schema that an event is held to, and say which it is."""
    catalogue = Catalogue.bundled()
    name = catalogue.name_for(_known(catalogue, adapter), event_type)
    if name is None:
        known = ", ".join(catalogue.event_types(adapter))
        raise OperatorError(f"no schema holds for {event_type!r} of {adapter}; it has {known}")
    which = "which all share that have none of their own" if name == ENVELOPE else f"the schema of {name}"
    typer.echo(f"{adapter} {event_type}: schemas/{adapter}/{name}.json, {which}", err=True)
    typer.echo(printable(_written(catalogue.document(adapter, name)), keep="\n"))


def run_infer(files: list[Path], identifier: str, title: str, depth: int, *, with_example: bool) -> None:
    """Propose a schema."""
    samples = [_read_sample(file) for file in files]
    try:
        proposal = infer(samples, identifier, title, depth=depth, with_example=with_example)
    except SchemaError as error:
        raise OperatorError(str(error)) from error
    typer.echo(printable(_written(proposal), keep="\n"))


def _known(catalogue: Catalogue, adapter: str) -> str:
    if adapter not in catalogue.adapters():
        raise OperatorError(
            f"no schemas of adapter {adapter!r} come with the gateway; there are those of "
            f"{', '.join(catalogue.adapters())}"
        )
    return adapter


def _read_sample(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_SAMPLE + 1)
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error
    if len(content) > _LARGEST_SAMPLE:
        raise OperatorError(f"{file}: is larger than 16MiB")
    try:
        return parse_json(content)
    except MalformedJson as error:
        raise OperatorError(f"{file}: is not JSON as the gateway takes it: {error}") from error


def _written(value: Any, indent: str = "") -> str:
    """JSON as the schemas that come with the gateway are written: what is short and flat stands in one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return line
    inner = value.values() if isinstance(value, dict) else value
    is_flat = not any(isinstance(each, dict) for each in inner)
    if is_flat and len(indent + line) <= _LONGEST_LINE:
        return f"{{ {line[1:-1]} }}" if isinstance(value, dict) else line
    deeper = indent + "  "
    lines = (
        [f"{json.dumps(name, ensure_ascii=False)}: {_written(each, deeper)}" for name, each in value.items()]
        if isinstance(value, dict)
        else [_written(each, deeper) for each in value]
    )
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(deeper + line for line in lines), indent + closing])
