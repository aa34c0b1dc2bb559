"""Tracing with OpenTelemetry, for operators who ask for it.

Each process decides once, at its start, whether it makes spans. If it does not, nothing of OpenTelemetry is imported,
and :func:`tracing` gives None.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.errors import OperatorError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from gateway.observability.tracing.spans import Spans

PROTOCOL = "http/protobuf"
"""The only OTLP protocol that the gateway's own exporter speaks."""

_FLUSH_TIMEOUT = 2.0
"""Seconds that the end of a process waits for the last spans: a collector that is away must not delay it further."""


@contextmanager
def tracing(system: str, exchange: str) -> Iterator[Spans | None]:
    """Give the block what makes its spans, or None; send the last spans when it ends.

    A tracer provider that is already set is used, such as that of ``opentelemetry-instrument`` or of a worker's own
    module. Otherwise the standard environment variables decide. Each process enters this block for itself, because the
    exporter's thread does not survive a fork.

    Args:
        system: The messaging system: ``rabbitmq`` or ``embedded``.
        exchange: The exchange that events are published to.

    Raises:
        OperatorError: The variables ask for spans, but spans cannot be sent.
    """
    provider = None if _setting("OTEL_SDK_DISABLED") == "true" else _find_provider() or _make_provider()
    if provider is None:
        yield None
        return
    from gateway.observability.tracing.spans import Spans

    try:
        yield Spans(provider, system, exchange)
    finally:
        _send_last_spans(provider)


def _setting(*names: str) -> str:
    """Return the first of these variables that is set, in lower case, or an empty text."""
    return next((value.strip().lower() for name in names if (value := os.environ.get(name))), "")


def _find_provider() -> TracerProvider | None:
    if "opentelemetry.trace" not in sys.modules:  # then no provider can have been set
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
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, but the gateway sends spans by {PROTOCOL} only; unset it"
        )
    try:
        from gateway.observability.tracing.provider import make_provider
    except ImportError as error:
        raise OperatorError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, but {error.name} is not installed; install "
            "agent-webhook-gateway[tracing], or set OTEL_TRACES_EXPORTER=none"
        ) from error
    try:
        return make_provider()
    except ValueError as error:
        raise OperatorError(f"an OTEL_ variable has a value that cannot be used: {error}") from error


def _send_last_spans(provider: TracerProvider) -> None:
    flush = getattr(provider, "force_flush", None)  # part of the SDK, not of the interface
    if flush is not None:
        # It retries for as long as the collector is away, and cannot be cancelled: a daemon thread can be abandoned.
        sending = threading.Thread(target=flush, name="last spans", daemon=True)
        sending.start()
        sending.join(_FLUSH_TIMEOUT)
