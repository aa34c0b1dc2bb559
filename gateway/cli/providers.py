"""``gateway providers``."""

from __future__ import annotations

import typer
import yaml
from rich.console import Console
from rich.table import Table

from gateway.errors import OperatorError
from gateway.samples import sample_names
from providers import registry


def run_providers(name: str | None) -> None:
    """List all adapters, or show the one called ``name``."""
    if name is None:
        _list()
    elif name not in registry.names():
        raise OperatorError(f"there is no adapter {name!r}; there are {', '.join(registry.names())}")
    else:
        _show(name)


def describe_all() -> list[tuple[str, str, str]]:
    """Every adapter with its sender and how that signs."""
    return [_describe(name) for name in registry.names()]


def _describe(name: str) -> tuple[str, str, str]:
    if name == registry.GENERIC:
        return name, "any sender that signs with HMAC", "described in config.yaml"
    spec = registry.load(name).spec
    return name, spec.title, spec.signature.describe()


def _samples(name: str) -> list[str]:
    return [] if name == registry.GENERIC else sample_names(registry.load(name))


def _list() -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("adapter", "sender", "signature", "samples"):
        # Names are to be copied from here: whole where they fit, and never cut.
        table.add_column(heading, no_wrap=heading in {"adapter", "samples"}, overflow="fold")
    for name, sender, signature in describe_all():
        table.add_row(name, sender, signature, "\n".join(_samples(name)))
    Console().print(table)


def _show(name: str) -> None:
    variable = f"{name.upper()}_WEBHOOK_SECRET"
    if name == registry.GENERIC:
        typer.echo("Describe your sender in the configuration; the acme block of config.yaml shows how.")
        return
    spec = registry.load(name).spec
    described = spec.model_dump(mode="json", exclude_defaults=True, exclude={"title", "docs"})
    typer.echo(f"{spec.title}\n{spec.docs}\n\n{yaml.safe_dump(described, sort_keys=False)}")
    typer.echo(f'Paste under providers:\n\n  {name}: {{adapter: {name}, secrets: ["${{{variable}}}"]}}')
