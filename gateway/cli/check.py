"""``gateway check``."""

from __future__ import annotations

from pathlib import Path

import typer

from gateway.config import config_warnings, load_config
from gateway.config.loader import adapter_of
from gateway.schemas import Catalogue


def run_check(path: Path) -> None:
    """Report on the configuration at ``path``."""
    config = load_config(path)
    catalogue = Catalogue.bundled()
    count = 0
    for adapter in catalogue.adapters():
        catalogue.of_adapter(adapter)
        count += len(catalogue.event_types(adapter))
    typer.echo(f"{path}: {len(config.providers)} providers, nothing wrong; {count} bundled schemas compile")
    for name, provider in sorted(config.providers.items()):
        title = adapter_of(provider).spec.title or "described in the configuration"
        secrets = "1 secret" if len(provider.secrets) == 1 else f"{len(provider.secrets)} secrets"
        typer.echo(
            f"  /webhooks/{name}: {provider.adapter} ({title}), {secrets}, on invalid: {provider.on_invalid}"
        )
    typer.echo(
        f"  claims: {_kind(config.redis.url)}, events: {_kind(config.rabbitmq.url)} to exchange {config.rabbitmq.exchange}"
    )
    for warning in config_warnings(config):
        typer.echo(f"  warning: {warning}")


def _kind(url: str) -> str:
    return url.partition(":")[0]  # never the whole address: there is a password in it
