"""``gateway providers``: list the adapters, or show one."""

from __future__ import annotations

import typer

from gateway.adapters import registry
from gateway.cli.tables import print_table
from gateway.devtools.formatting import format_count
from gateway.devtools.provider_reference import (
    adapter_names,
    config_block,
    facts,
    matching,
    summary,
)
from gateway.devtools.samples import sample_names
from gateway.errors import OperatorError


def run_providers(word: str | None) -> None:
    """Show the adapter called ``word``, or list the adapters that match it; without a word, list all."""
    if word == registry.GENERIC:
        typer.echo(
            "hmac is for providers without an adapter: describe the signature in the configuration, as the acme block of config.yaml does."
        )
    elif word in registry.names():
        _show(word)
    elif names := adapter_names() if word is None else matching(word):
        _list(names)
    else:
        raise OperatorError(
            f"no adapter is called {word!r} or contains that word; `gateway providers` lists all adapters"
        )


def _list(names: list[str]) -> None:
    print_table(("adapter", "provider", "signature"), map(summary, names))
    typer.echo(
        f"{format_count(len(names), 'adapter')}; `gateway providers NAME` shows one, with a block to paste. Describe any "
        "other provider in config.yaml (adapter: hmac).",
        err=True,
    )


def _show(name: str) -> None:
    adapter = registry.load(name)
    typer.echo(f"{adapter.spec.title}  {adapter.spec.docs}\n\n{registry.note_on(name)}\n")
    rows = [*facts(name, {}), ("samples", ", ".join(sample_names(adapter)))]
    for heading, text in rows:
        typer.echo(f"{heading + ':':<15} {text}")
    typer.echo("\nproviders:\n" + "\n".join(f"  {line}" for line in config_block(name).splitlines()))
