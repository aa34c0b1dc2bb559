"""A collector of OpenTelemetry: takes spans by OTLP over HTTP, as its protocol has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.loopback import LoopbackServer, Quiet


@dataclass(frozen=True)
class Told:
    """A span as a collector gets it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    text: str


class Collector(LoopbackServer):
    """Listens on loopback.

    Attributes:
        spans: what came.
    """

    def __init__(self) -> None:
        self.spans: list[Told] = []
        spans = self.spans

        class Handler(Quiet):
            def do_POST(self) -> None:  # noqa: N802 -- named by the library
                request = ExportTraceServiceRequest()
                request.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
                is_ours = self.path == "/v1/traces"
                spans.extend(_told(request) if is_ours else [])
                self.send_response(200 if is_ours else 404)
                self.send_header("content-length", "0")
                self.end_headers()

        super().__init__(Handler)


def _told(request: ExportTraceServiceRequest) -> list[Told]:
    return [
        Told(
            service=_values(resource.resource.attributes)["service.name"],
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=_values(span.attributes),
            text=str(span),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
