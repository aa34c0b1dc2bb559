"""Tracing: OpenTelemetry's spans for those who want them.

Whether there are spans is decided once, at the start of a process. Where there are none, nothing of OpenTelemetry is
imported here, and what would make them is None.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.config import EMBEDDED, Config
from gateway.errors import OperatorError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from gateway.observability.tracing.spans import Spans

PROTOCOL = "http/protobuf"
"""How spans are sent where we send them."""

_LAST_SPANS = 2.0  # seconds for them to be sent when the process ends


@contextmanager
def tracing(config: Config) -> Iterator[Spans | None]:
    """What makes spans within the block, or None; what it made is sent at the end, if that can be done in a moment.

    A provider that is there already is used, such as that of ``opentelemetry-instrument`` or of a worker's own module;
    else the standard variables decide. In several processes, each has to enter it for itself.

    Raises:
        OperatorError: spans are asked for, and cannot be sent.
    """
    provider = None if _setting("OTEL_SDK_DISABLED") == "true" else _find_provider() or _make_provider()
    if provider is None:
        yield None
        return
    from gateway.observability.tracing.spans import Spans

    rabbitmq = config.rabbitmq
    try:
        yield Spans(provider, EMBEDDED if rabbitmq.url == EMBEDDED else "rabbitmq", rabbitmq.exchange)
    finally:
        _send_the_last(provider)


def _setting(*names: str) -> str:
    """The first of these variables that is set, in lower case."""
    return next((value.strip().lower() for name in names if (value := os.environ.get(name))), "")


def _find_provider() -> TracerProvider | None:
    if "opentelemetry.trace" not in sys.modules:  # then nobody can have set one
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _make_provider() -> TracerProvider | None:
    endpoint = _setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint or "otlp" not in (_setting("OTEL_TRACES_EXPORTER") or "otlp"):
        return None
    protocol = _setting("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") or PROTOCOL
    if protocol != PROTOCOL:
        raise OperatorError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, but spans are sent by {PROTOCOL} alone"
        )
    try:
        from gateway.observability.tracing.provider import make_provider
    except ImportError as error:
        raise OperatorError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, and there is no {error.name}; install "
            "webhook-gateway[tracing], or set OTEL_TRACES_EXPORTER=none"
        ) from error
    try:
        return make_provider()
    except ValueError as error:
        raise OperatorError(f"the variables for tracing cannot be used: {error}") from error


def _send_the_last(provider: TracerProvider) -> None:
    flush = getattr(provider, "force_flush", None)  # part of the SDK, not of the interface
    if flush is not None:
        # It tries again and again while the collector is away: a thread can be left to its fate.
        sending = threading.Thread(target=flush, name="last spans", daemon=True)
        sending.start()
        sending.join(_LAST_SPANS)
