"""``gateway providers``: list the adapters, or show one."""

from __future__ import annotations

import json

import typer

from gateway.adapters import registry
from gateway.cli.common import did_you_mean
from gateway.cli.tables import print_rows
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


def run_providers(word: str | None, *, as_json: bool) -> None:
    """Show the adapter called ``word``, or list the adapters that match it; without a word, list all."""
    if as_json:
        names = [word] if word in adapter_names() else adapter_names() if word is None else matching(word)
        for name in names:
            typer.echo(json.dumps(_details(name), ensure_ascii=False))
        return
    if word == registry.GENERIC:
        typer.echo(
            "hmac is for providers without an adapter: describe the signature in the configuration, as the acme block of config.yaml does."
        )
    elif word in registry.names():
        _show(word)
    elif names := adapter_names() if word is None else matching(word):
        _list(names)
    else:
        hint = did_you_mean(word or "", registry.names()) or "; `gateway providers` lists all adapters"
        raise OperatorError(f"no adapter is called {word!r} or contains that word{hint}")


def _list(names: list[str]) -> None:
    print_rows(("adapter", "provider", "signature"), [*map(summary, names)])
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


def _details(name: str) -> dict[str, object]:
    """Return all that is known of an adapter, for programs."""
    adapter = registry.load(name)
    return {
        "adapter": name,
        "provider": adapter.spec.title,
        "docs": adapter.spec.docs,
        "note": registry.note_on(name),
        **{heading.replace(" ", "_"): text for heading, text in facts(name, {})},
        "samples": sample_names(adapter),
        "config": config_block(name),
    }
