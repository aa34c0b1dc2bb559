"""The OpenTelemetry SDK, configured by the standard variables: a queue, a thread, and OTLP over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from typing_extensions import override

_SERVICE = "webhook-gateway"
"""The name of the service, unless ``OTEL_SERVICE_NAME`` sets another one."""

log = structlog.get_logger()


class Exporter(SpanExporter):
    """An exporter that logs one line when exports begin to fail, and one when they succeed again.

    Args:
        exporter: The exporter that sends the spans. Its own log lines, one for each batch and attempt, are suppressed.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        # The SDK warns of a full queue, which is news only while the collector accepts spans.
        logging.getLogger("opentelemetry.sdk._shared_internal").addFilter(lambda _: not self._is_failing)

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            log.warning("span export failed", hint="is there a collector at OTEL_EXPORTER_OTLP_ENDPOINT?")
        elif self._is_failing and not is_failing:
            log.info("span export recovered")
        self._is_failing = is_failing
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()


def make_provider() -> TracerProvider:
    """Make a tracer provider that exports spans, and set it for the whole process.

    Raises:
        ValueError: A variable has a value that cannot be used.
    """
    resource = Resource.create({"service.name": _SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(
        resource=resource, shutdown_on_exit=False
    )  # its own shutdown waits for up to half a minute
    provider.add_span_processor(BatchSpanProcessor(Exporter(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    return provider
