"""Spans: one per verified request, and one per attempt of a handler.

Names and attributes follow OpenTelemetry's semantic conventions for HTTP and messaging; our own begin with ``webhook.``.
Spans contain what the log contains: ids, types and outcomes. They contain nothing else of a request, and no text of an
exception.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    TracerProvider,
    format_span_id,
    format_trace_id,
    get_current_span,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_SCOPE = "webhook-gateway"
_ROUTE = "/webhooks/{provider}"
_FIRST_ERROR = 500
"""The first HTTP status that marks a server span as an error, by the conventions for HTTP."""

_propagator = TraceContextTextMapPropagator()


class HandledEvent(Protocol):
    """What a span says of an event that a worker handles."""

    @property
    def id(self) -> str:
        """The provider's id of the event."""

    @property
    def provider(self) -> str:
        """The provider's name in the configuration."""

    @property
    def eventtype(self) -> str:
        """The provider's own name of the event type."""

    @property
    def attempts(self) -> int:
        """The number of this attempt, from 1."""

    @property
    def traceparent(self) -> str | None:
        """The trace context that the event was published with."""


class Spans:
    """Begins the spans of a gateway and its workers.

    Args:
        provider: Receives the spans.
        system: The messaging system: ``rabbitmq`` or ``embedded``.
        exchange: The exchange that events are published to.
    """

    def __init__(self, provider: TracerProvider, system: str, exchange: str) -> None:
        self._tracer = provider.get_tracer(_SCOPE)
        self._system = system
        self._exchange = exchange

    def begin(self, provider: str, method: str, started_at: float, sent: str | None) -> RequestSpan:
        """Begin the span of a verified request.

        Call it only once the signature is verified, so that nobody else can make spans or choose their trace.

        Args:
            provider: The provider's name.
            method: The HTTP method.
            started_at: When the head of the request was complete, in seconds of :func:`time.perf_counter`.
            sent: The trace context in the request, if any.
        """
        age = time.perf_counter() - started_at
        span = self._tracer.start_span(
            f"{method} {_ROUTE}",
            _context_of(sent),
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.route": _ROUTE,
                "url.path": f"/webhooks/{provider}",
                "url.scheme": "http",
                "webhook.provider": provider,
            },
            start_time=time.time_ns() - int(age * 1e9),
        )
        return RequestSpan(span, sent, self._system)

    @contextmanager
    def attempt(
        self, event: HandledEvent, queue: str, routing_key: str
    ) -> Iterator[Callable[[str, str | None], None]]:
        """Make the span of one attempt to handle an event the current span within the block.

        It belongs to the trace of the event. The block is given a function that takes the outcome and, after a failure,
        the type of the exception.
        """
        context = _context_of(event.traceparent)
        creation = get_current_span(context).get_span_context()
        span = self._tracer.start_span(
            f"process {queue}",
            context,
            SpanKind.CONSUMER,
            {
                "messaging.system": self._system,
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": f"{self._exchange}:{routing_key}:{queue}",
                "messaging.message.id": event.id,
                "webhook.provider": event.provider,
                "webhook.event_type": event.eventtype,
                "webhook.queue": queue,
                "webhook.attempts": event.attempts,
            },
            [Link(creation)] if creation.is_valid else None,
        )

        def set_outcome(outcome: str, error: str | None) -> None:
            span.set_attribute("webhook.outcome", outcome)
            if error:
                _set_error(span, error)

        # The text of an exception could hold anything, personal data included: only its type is recorded.
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield set_outcome


class RequestSpan:
    """The span of one request.

    Attributes:
        traceparent: The trace context that its events are published with.
    """

    __slots__ = ("_destination", "_published", "_span", "_system", "traceparent")

    def __init__(self, span: Span, sent: str | None, system: str) -> None:
        self._span = span
        self._system = system
        self._destination = ""
        self._published = 0
        context = span.get_span_context()
        self.traceparent = (
            f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"
            if context.is_valid
            else sent
        )

    def note_published(self, exchange: str, routing_key: str) -> None:
        """Record that one more event of the request was published."""
        self._published += 1
        self._destination = f"{exchange}:{routing_key}"

    def end(
        self, outcome: str, status: int, event_id: str | None, event_type: str | None, *, is_batch: bool
    ) -> None:
        """End the span with the response.

        Args:
            outcome: One of :data:`gateway.errors.OUTCOMES`.
            status: The HTTP status of the response.
            event_id: The id of the event, once it is known.
            event_type: Its type, once it is known.
            is_batch: Whether the request carries a list of events: their number is recorded, and no id or type.
        """
        span = self._span
        if not span.is_recording():
            return
        attributes: dict[str, AttributeValue] = {
            "http.response.status_code": status,
            "webhook.outcome": outcome,
        }
        if is_batch:
            attributes["messaging.batch.message_count"] = self._published
        else:
            if event_type is not None:
                attributes["webhook.event_type"] = event_type
            if event_id is not None:
                attributes["messaging.message.id"] = event_id
            if self._published:
                attributes["messaging.destination.name"] = self._destination
        if self._published:
            attributes["messaging.system"] = self._system
        span.set_attributes(attributes)
        if status >= _FIRST_ERROR:
            _set_error(span, outcome)
        span.end()


def _context_of(traceparent: str | None) -> Context:
    """Return the context of a trace, or an empty one if ``traceparent`` is missing or malformed."""
    return _propagator.extract({"traceparent": traceparent}) if traceparent else Context()


def _set_error(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR)
