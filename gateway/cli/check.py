"""``gateway check``: validate the configuration and the schemas."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import typer

from gateway.config import Config, config_warnings, load_config
from gateway.config.models import RabbitConfig, RedisConfig
from gateway.config.resolve import adapter_of
from gateway.devtools.formatting import format_count
from gateway.errors import OperatorError
from gateway.events.schemas import Catalogue


def run_check(path: Path, *, connects: bool = False) -> None:
    """Validate the configuration at ``path`` and print a summary with its warnings.

    If it ``connects``, the summary includes whether Redis takes claims, what RabbitMQ says of its queues and its limits, and
    whether the database of deliveries can be used.

    Raises:
        OperatorError: The configuration is invalid, Redis takes no claims, RabbitMQ cannot be asked, or the database of
            deliveries cannot be used.
    """
    config = load_config(path)
    catalogue = Catalogue.bundled()
    count = 0
    for adapter in sorted(
        {adapter_of(each).family for each in config.providers.values() if not each.schema_file}
    ):
        catalogue.of_adapter(adapter).check()
        count += len(catalogue.event_types(adapter))
    warnings = config_warnings(config)
    verdict = "valid, with warnings" if warnings else "valid"
    typer.echo(
        f"{path}: {format_count(len(config.providers), 'provider')}, {verdict}; {format_count(count, 'bundled schema')} in use"
    )
    for name, provider in sorted(config.providers.items()):
        title = adapter_of(provider).spec.title or "defined in the configuration"
        secrets = format_count(len(provider.secrets), "secret")
        typer.echo(
            f"  /webhooks/{name}: {provider.adapter} ({title}), {secrets}, on invalid: {provider.on_invalid}"
        )
    typer.echo(
        f"  deduplication: {_store(config.redis)}, events: {_broker(config.rabbitmq)} to exchange {config.rabbitmq.exchange}"
    )
    for name, endpoint in sorted(config.endpoints.items()):
        host = urlsplit(endpoint.url).hostname  # the path may contain a token
        typer.echo(
            f"  endpoint {name}: {', '.join(endpoint.events)} to {host}, format: {endpoint.format}, "
            f"{format_count(len(endpoint.secrets), 'secret')}"
        )
    for warning in warnings:
        typer.echo(f"  warning: {warning}")
    if connects:
        _print_store(config)
        _print_broker(config)
        if config.has_way_out:
            _print_deliveries(config)


def _print_store(config: Config) -> None:
    from gateway.cli.common import run
    from gateway.observability.terminal import one_line
    from gateway.operations.status import claims_status

    status, _ = run(claims_status(config))
    if status.error:
        raise OperatorError(f"{status.kind} takes no claims: {one_line(status.error)}")
    if not config.redis.is_embedded:
        typer.echo("  Redis takes claims")
    for warning in status.warnings:
        typer.echo(f"  warning: {one_line(warning)}")


def _print_broker(config: Config) -> None:
    from gateway.cli.common import run
    from gateway.observability.terminal import one_line
    from gateway.operations.broker_check import check_broker

    report = run(check_broker(config))
    for line in report.lines:
        typer.echo(f"  {one_line(line)}")
    for warning in report.warnings:
        typer.echo(f"  warning: {one_line(warning)}")


def _print_deliveries(config: Config) -> None:
    from gateway.cli.common import run
    from gateway.operations.outbound_state import check_database

    typer.echo(f"  deliveries: {run(check_database(config))}")


def _store(redis: RedisConfig) -> str:
    if redis.sentinels:
        return f"redis, primary {redis.master} by {format_count(len(redis.sentinels), 'Sentinel')}"
    return "redis, a cluster" if redis.cluster else _scheme(redis.url)


def _broker(rabbitmq: RabbitConfig) -> str:
    nodes = rabbitmq.urls
    return f"{_scheme(nodes[0])}, {len(nodes)} nodes," if nodes else _scheme(rabbitmq.url)


def _scheme(url: str) -> str:
    return url.partition(":")[0]  # the URL may contain a password
