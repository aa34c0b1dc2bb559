"""One request and what becomes of it: gathered along the way, for the answer and for the one line that is logged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gateway.observability.counters import ProviderMetrics
from gateway.receive.responses import Response
from gateway.receive.route import Route
from gateway.signatures.request import Headers, RawRequest

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import RequestSpan


class RequestHead(NamedTuple):
    """A request before its body.

    Attributes:
        method: as it was sent.
        path: as it was sent, percent-encoding kept, without the query.
        query: what stands behind the question mark.
        headers: the header fields.
        size: bytes of the names and values of all header fields.
        peer: the address that the connection comes from; empty when it has none.
        version: of HTTP.
    """

    method: str
    path: bytes
    query: bytes
    headers: Headers
    size: int
    peer: str
    version: str = "1.1"


class RequestContext:
    """One request, from its head to its answer.

    Attributes:
        provider: the provider that it is for, None when its path names none.
        metrics: where it is counted.
        client: the address of the sender, behind trusted proxies too.
        started_at: when its head was complete, in seconds on a steady clock.
        endpoint: what its path leads to; only once it is let in.
        request: it as its adapter sees it; only once it is let in, without its body until that has arrived.
        answer: the answer, once there is one.
        event_id: of the event in it, once it is verified.
        event_type: so too.
        size: bytes of the body.
        cause: what the log says beyond the outcome.
        events: how many events it carries, where it is a list of them.
        tally: how many of them had which outcome.
        span: its span, once it is verified, where there are spans.
    """

    __slots__ = (
        "answer", "cause", "client", "endpoint", "event_id", "event_type", "events", "metrics", "provider", "request",
        "size", "span", "started_at", "tally",
    )  # fmt: skip

    endpoint: Route
    request: RawRequest

    def __init__(
        self, provider: str | None, metrics: ProviderMetrics, client: str, started_at: float
    ) -> None:
        self.provider = provider
        self.metrics = metrics
        self.client = client
        self.started_at = started_at
        self.answer: Response | None = None
        self.event_id: str | None = None
        self.event_type: str | None = None
        self.size: int | None = None
        self.cause: str | None = None
        self.events: int | None = None
        self.tally: Counter[str] | None = None
        self.span: RequestSpan | None = None
