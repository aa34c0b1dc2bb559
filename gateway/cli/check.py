"""``gateway check``."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.config import config_warnings, load_config
from gateway.config.resolve import adapter_of
from gateway.events.schemas import Catalogue


def run_check(path: Path) -> None:
    """Report on the configuration at ``path``."""
    config = load_config(path)
    catalogue = Catalogue.bundled()
    count = 0
    for adapter in sorted(
        {adapter_of(each).family for each in config.providers.values() if not each.schema_file}
    ):
        catalogue.of_adapter(adapter).check()
        count += len(catalogue.event_types(adapter))
    warnings = config_warnings(config)
    verdict = "no mistake, but see the warnings" if warnings else "nothing wrong"
    typer.echo(
        f"{path}: {_count(len(config.providers), 'provider')}, {verdict}; {_count(count, 'bundled schema')} in use"
    )
    for name, provider in sorted(config.providers.items()):
        title = adapter_of(provider).spec.title or "described in the configuration"
        secrets = _count(len(provider.secrets), "secret")
        typer.echo(
            f"  /webhooks/{name}: {provider.adapter} ({title}), {secrets}, on invalid: {provider.on_invalid}"
        )
    typer.echo(
        f"  claims: {_kind(config.redis.url)}, events: {_kind(config.rabbitmq.url)} to exchange {config.rabbitmq.exchange}"
    )
    for warning in warnings:
        typer.echo(f"  warning: {warning}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _kind(url: str) -> str:
    return url.partition(":")[0]  # never the whole address: there is a password in it
