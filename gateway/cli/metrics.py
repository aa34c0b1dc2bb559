"""Metrics of a program that has no admin listener: a worker, or the way out by itself."""

from __future__ import annotations

import typer
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from gateway.config.bind_addresses import check_bind, split_bind
from gateway.errors import OperatorError


def serve_metrics(bind: str, metrics: Collector) -> None:
    """Serve metrics for Prometheus from a thread, at the address that ``--metrics`` names.

    Raises:
        typer.BadParameter: It is no address.
        OperatorError: Something else listens there.
    """
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        host, port = split_bind(check_bind(bind))
        start_http_server(port, host, registry)
    except ValueError as error:
        raise typer.BadParameter(f"{bind!r} {error}", param_hint="--metrics") from None
    except OSError as error:
        raise OperatorError(f"cannot listen at {bind}: {error.strerror}") from error
