"""The SDK of OpenTelemetry, set up by the standard variables: a queue, a thread, and OTLP over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

_SERVICE = "webhook-gateway"

log = structlog.get_logger()


class Exporter(SpanExporter):
    """Says in one line that spans cannot be sent, and in another that they can again.

    Args:
        exporter: what sends them. What it logs itself, for each batch and each attempt, is left out.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        # It complains of a full queue, which is news only where the collector is there.
        logging.getLogger("opentelemetry.sdk._shared_internal").addFilter(lambda _: not self._is_failing)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See SpanExporter."""
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            log.warning("spans cannot be sent", hint="is there a collector at OTEL_EXPORTER_OTLP_ENDPOINT?")
        elif self._is_failing and not is_failing:
            log.info("spans are sent again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        """See SpanExporter."""
        self._exporter.shutdown()


def make_provider() -> TracerProvider:
    """A provider that sends spans; from now on it is that of the whole process.

    Raises:
        ValueError: the variables make no sense.
    """
    resource = Resource.create({"service.name": _SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # its end waits for half a minute
    provider.add_span_processor(BatchSpanProcessor(Exporter(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    return provider
