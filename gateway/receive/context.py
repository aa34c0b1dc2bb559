"""One request on its way: what is known about it, for its answer and for the one line that is logged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from typing_extensions import override

from gateway.adapters.handshake import RefusalSpec
from gateway.errors import Outcome
from gateway.observability.counters import ProviderMetrics
from gateway.receive.responses import Response
from gateway.receive.route import Route
from gateway.signatures.request import Headers, RawRequest

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import RequestSpan


class RequestRecord:
    """What is logged and counted about a request, from its head to its answer.

    Attributes:
        provider: the provider that the request is for; None if its path names none.
        metrics: the counters of that provider.
        refusal: the body that the provider prescribes for a refused signature, if it does.
        client: the address of the client, as trusted proxies say.
        started_at: when the head was complete, in seconds on a monotonic clock.
        response: the answer, once there is one.
        event_id: the id of its event, once the request is verified.
        event_type: the type of its event, once the request is verified.
        size: bytes of the body.
        cause: what the log says beyond the outcome.
        events: the number of its events, if it is a batch.
        tally: how many of them had which outcome.
        span: its span, once it is verified and if tracing is on.
    """

    __slots__ = (
        "cause", "client", "event_id", "event_type", "events", "metrics", "provider", "refusal", "response", "size",
        "span", "started_at", "tally",
    )  # fmt: skip

    def __init__(
        self,
        provider: str | None,
        metrics: ProviderMetrics,
        client: str,
        started_at: float,
        refusal: RefusalSpec | None = None,
    ) -> None:
        self.provider = provider
        self.metrics = metrics
        self.refusal = refusal
        self.client = client
        self.started_at = started_at
        self.response: Response | None = None
        self.event_id: str | None = None
        self.event_type: str | None = None
        self.size: int | None = None
        self.cause: str | None = None
        self.events: int | None = None
        self.tally: Counter[str] | None = None
        self.span: RequestSpan | None = None

    @property
    def headers(self) -> Headers | None:
        """Return the header fields of the request; None if they were not read."""
        return None


class RequestContext(RequestRecord):
    """A request that was let in: its record, its route, and the request itself.

    Attributes:
        route: the provider that its path leads to.
        request: the request as its adapter sees it; its body is empty until it has arrived, and again once the event has it.
        key_fetches: how often a key was fetched for it.
    """

    __slots__ = ("key_fetches", "request", "route")

    def __init__(self, route: Route, request: RawRequest, client: str, started_at: float) -> None:
        super().__init__(route.name, route.metrics, client, started_at, route.adapter.spec.refusal)
        self.route = route
        self.request = request
        self.key_fetches = 0

    @property
    @override
    def headers(self) -> Headers:
        return self.request.headers

    def release_body(self) -> None:
        """Drop the body, which the event or the items have by now: bodies of requests under way add up."""
        self.request.body = b""

    def respond(self, outcome: Outcome) -> Response:
        """Return the response to a verified request."""
        return self.route.success.respond(outcome, self.event_id or "", self.event_type)
