"""``gateway providers``."""

from __future__ import annotations

from pathlib import Path

import typer
import yaml
from pydantic import TypeAdapter

from gateway.adapters import registry
from gateway.devtools.provider_reference import (
    Evidence,
    block,
    described,
    facts,
    in_one_line,
    matching,
    reference,
)
from gateway.devtools.samples import sample_names
from gateway.errors import OperatorError


def run_providers(word: str | None) -> None:
    """List all adapters or those with a word in them, or show the one of that name."""
    if word == registry.GENERIC:
        typer.echo("Describe your sender in the configuration; the acme block of config.yaml shows how.")
    elif word in registry.names():
        _show(word)
    elif names := described() if word is None else matching(word):
        _list(names)
    else:
        raise OperatorError(
            f"there is no adapter {word!r}, nor one with that in it; `gateway providers` lists all"
        )


def run_reference(evidence: Path | None) -> None:
    """Print the page of all adapters."""
    typer.echo(reference(_read(evidence) if evidence else {}), nl=False)


def _list(names: list[str]) -> None:
    rows = [in_one_line(name) for name in names]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, title, signature in rows:
        typer.echo(f"{name:<{widths[0]}}  {title:<{widths[1]}}  {signature}")
    typer.echo(
        f"{len(rows)} adapter{'s' * (len(rows) != 1)}; `gateway providers NAME` shows one, with a block to paste. Any other sender is described "
        "in config.yaml (adapter: hmac).",
        err=True,
    )


def _show(name: str) -> None:
    adapter = registry.load(name)
    typer.echo(f"{adapter.spec.title}  {adapter.spec.docs}\n\n{registry.note_on(name)}\n")
    rows = [*facts(name, {}), ("samples", ", ".join(sample_names(adapter)))]
    for heading, text in rows:
        typer.echo(f"{heading + ':':<15} {text}")
    typer.echo("\nproviders:\n" + "\n".join(f"  {line}" for line in block(name).splitlines()))


def _read(file: Path) -> Evidence:
    """What proves which adapter."""
    try:
        return TypeAdapter(Evidence).validate_python(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OperatorError(f"{file}: does not list what proves each adapter: {error}") from error
