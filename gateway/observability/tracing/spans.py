"""The spans that there are: one for each request that verified, and one for each attempt to handle an event.

Names and attributes are those of the semantic conventions for HTTP and messaging; ours begin with ``webhook.``. What
goes into them goes into the log, too: ids, types and outcomes, but nothing else of a request, nor the text of an
exception.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from gateway.events.message import Message
    from gateway.receive.context import RequestContext
    from gateway.worker.event import Event

_SCOPE = "webhook-gateway"
_ROUTE = "/webhooks/{provider}"
_FIRST_ERROR = 500

_propagator = TraceContextTextMapPropagator()


class Spans:
    """Makes spans.

    Args:
        provider: where they go.
        system: what carries the messages.
        exchange: the exchange for events.
    """

    def __init__(self, provider: TracerProvider, system: str, exchange: str) -> None:
        self._tracer = provider.get_tracer(_SCOPE)
        self._system = system
        self._exchange = exchange

    def begin(self, exchange: RequestContext, sent: str | None) -> RequestSpan:
        """The span of a request since its head was complete.

        Args:
            exchange: the request; its sender is proven by now, so that strangers cannot make spans or choose traces.
            sent: the trace context that it came with.
        """
        method = exchange.request.method
        age = time.perf_counter() - exchange.started_at
        span = self._tracer.start_span(
            f"{method} {_ROUTE}",
            _context_of(sent),
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.route": _ROUTE,
                "url.path": f"/webhooks/{exchange.provider}",
                "url.scheme": "http",
                "webhook.provider": exchange.provider or "",
            },
            start_time=time.time_ns() - int(age * 1e9),
        )
        return RequestSpan(span, sent, self._system)

    @contextmanager
    def attempt(
        self, event: Event, queue: str, routing_key: str
    ) -> Iterator[Callable[[str, str | None], None]]:
        """The span of an attempt, current within the block; a part of the trace that the event belongs to.

        Gives what has to be told the outcome, and the type of the exception where it failed.
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

        def tell(outcome: str, error: str | None) -> None:
            span.set_attribute("webhook.outcome", outcome)
            if error:
                _fail(span, error)

        # What was raised could have anything in its text.
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield tell


class RequestSpan:
    """The span of one request.

    Attributes:
        traceparent: the trace context for what it brings.
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

    def note_published(self, message: Message) -> None:
        """The broker has one more message of it."""
        self._published += 1
        self._destination = f"{message.exchange}:{message.routing_key}"

    def end(self, exchange: RequestContext, outcome: str, status: int) -> None:
        """The request has its answer."""
        span = self._span
        if not span.is_recording():
            return
        attributes: dict[str, AttributeValue] = {
            "http.response.status_code": status,
            "webhook.outcome": outcome,
        }
        if exchange.events is not None:
            attributes["messaging.batch.message_count"] = self._published
        else:
            if exchange.event_type is not None:
                attributes["webhook.event_type"] = exchange.event_type
            if exchange.event_id is not None:
                attributes["messaging.message.id"] = exchange.event_id
            if self._published:
                attributes["messaging.destination.name"] = self._destination
        if self._published:
            attributes["messaging.system"] = self._system
        span.set_attributes(attributes)
        if status >= _FIRST_ERROR:
            _fail(span, outcome)
        span.end()


def _context_of(traceparent: str | None) -> Context:
    """The context of a trace; an empty one where there is none, or nothing that could be one."""
    return _propagator.extract({"traceparent": traceparent}) if traceparent else Context()


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR)
