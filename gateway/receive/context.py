"""One request on its way: what is known about it, for its answer and for the one line that is logged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from typing_extensions import override

from gateway.adapters.handshake import RefusalSpec
from gateway.adapters.identity import Identity
from gateway.errors import Outcome
from gateway.observability.counters import ProviderMetrics
from gateway.receive.responses import Response
from gateway.receive.route import Route
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import RequestSpan


MAX_NOTES = 1_000
"""Events of one request that are recorded one by one."""


class EventNote(NamedTuple):
    """What is recorded of one event of a list.

    Attributes:
        outcome: Its outcome.
        event_id: Its id.
        event_type: Its type.
        identity: What else the adapter found.
        is_spooled: Whether it was accepted into the spool.
        violations: How it breaks its schema; empty if it does not.
    """

    outcome: str
    event_id: str
    event_type: str
    identity: Identity
    is_spooled: bool = False
    violations: str = ""


class RequestRecord(msgspec.Struct, eq=False):
    """What is logged, counted and recorded about a request, from its head to its answer.

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
        verified: the request, once its sender is proven.
        identity: what the adapter found in its event.
        traceparent: its trace context, once it is verified.
        is_spooled: whether an event of it was accepted into the spool.
        notes: what is recorded of each event, if it is a batch and is recorded.
    """

    provider: str | None
    metrics: ProviderMetrics
    client: str
    started_at: float
    refusal: RefusalSpec | None = None
    response: Response | None = None
    event_id: str | None = None
    event_type: str | None = None
    size: int | None = None
    cause: str | None = None
    events: int | None = None
    tally: Counter[str] | None = None
    span: RequestSpan | None = None
    verified: VerifiedRequest | None = None
    identity: Identity | None = None
    traceparent: str | None = None
    is_spooled: bool = False
    notes: list[EventNote] | None = None

    @property
    def headers(self) -> Headers | None:
        """Return the header fields of the request; None if they were not read."""
        return None


class RequestContext(RequestRecord, kw_only=True, eq=False):
    """A request that was let in: its record, its route, and the request itself.

    Attributes:
        route: the provider that its path leads to.
        request: the request as its adapter sees it; its body is empty until it has arrived, and again once the event has it.
        key_fetches: how often a key was fetched for it.
    """

    route: Route
    request: RawRequest
    key_fetches: int = 0

    @property
    @override
    def headers(self) -> Headers:
        return self.request.headers

    def respond(self, outcome: Outcome) -> Response:
        """Return the response to a verified request."""
        return self.route.success.respond(outcome, self.event_id or "", self.event_type)

    def note_event(self, note: EventNote) -> None:
        """Keep what is recorded of an event of a list, unless that has too many."""
        if self.notes is not None and len(self.notes) < MAX_NOTES:
            self.notes.append(note)
