"""One event's last steps: claim it, publish it, and commit the claim once the broker has confirmed.

Nothing is answered before it is durable, and a claim becomes permanent only after the confirm. A failed publish
releases the claim, so that the provider's next attempt is no duplicate.
"""

from __future__ import annotations

import msgspec

from gateway.adapters.identity import Identity
from gateway.claims.dedupe import Claim, Dedupe
from gateway.claims.event_key import EventKey
from gateway.errors import BrokerUnavailable, Outcome
from gateway.events.message import Message
from gateway.events.validation import Validation
from gateway.publishers import QUARANTINE_SUFFIX, Publisher, PublishUnavailable
from gateway.receive.context import RequestContext
from gateway.receive.route import Route
from gateway.signatures.request import VerifiedRequest
from gateway.signatures.times import rfc3339_milliseconds


class PendingEvent(msgspec.Struct, eq=False):
    """A genuine event that is to be published.

    Attributes:
        key: what it is deduplicated by.
        request: the request that brought it.
        identity: its id, type and other attributes.
        validation: the verdict of its schema.
        received_at: when it was verified, in Unix seconds.
        data: its bytes, until the message has them.
        media_type: of the bytes; None for JSON, empty if there are none.
        is_spooled: whether it was accepted into the spool.
    """

    key: EventKey
    request: VerifiedRequest
    identity: Identity
    validation: Validation
    received_at: float
    data: bytes
    media_type: str | None = None
    is_spooled: bool = False


class EventPublisher:
    """Publishes events, each of them once.

    Args:
        dedupe: decides whether an event is published.
        publisher: the way to the broker.
        exchange: the AMQP exchange for events.
    """

    def __init__(self, dedupe: Dedupe, publisher: Publisher, exchange: str) -> None:
        self._dedupe = dedupe
        self._publisher = publisher
        self._exchange = exchange
        self._quarantine = exchange + QUARANTINE_SUFFIX

    async def publish(self, context: RequestContext, event: PendingEvent) -> Outcome:
        """Publish the event unless it was published before, and return the outcome.

        Raises:
            Rejection: it cannot be published now.
        """
        route, span = context.route, context.span
        claim = await self._dedupe.acquire(
            route.name, event.key, event.data, route.metrics, max_wait=route.longest_wait
        )
        if claim is None:
            route.metrics.count_event(Outcome.DUPLICATE)
            return Outcome.DUPLICATE
        try:
            message = self._compose(route, event, claim, context.traceparent)
            event.data = b""  # the message has it
            if await self._publisher.publish(message):
                event.is_spooled = context.is_spooled = True
        except PublishUnavailable as error:
            self._dedupe.release(claim)
            raise BrokerUnavailable(str(error)) from error
        except BaseException:
            self._dedupe.release(claim)
            raise
        self._dedupe.commit(claim, route.metrics)
        outcome = Outcome.ACCEPTED
        if event.validation.violations:
            outcome = Outcome.QUARANTINED
            context.cause = event.validation.violations
        route.metrics.count_event(outcome)
        if span is not None:
            span.note_published(message.exchange, message.routing_key)
        return outcome

    def _compose(self, route: Route, event: PendingEvent, claim: Claim, traceparent: str | None) -> Message:
        envelope, identity = route.envelope, event.identity
        source = envelope.source_of(identity)
        kind = envelope.kind_of(identity.event_type, source)
        headers, violations = kind.headers, event.validation.violations
        if traceparent:
            headers = {**headers, "traceparent": traceparent}
        if violations:
            headers = {**headers, "violations": violations}
        return Message(
            exchange=self._quarantine if violations else self._exchange,
            routing_key=kind.routing_key,
            message_id=event.key.event_id,
            type=kind.type,
            headers=headers,
            body=envelope.encode(
                identity,
                event.key.event_id,
                source,
                kind.type,
                event.data,
                received_at=rfc3339_milliseconds(event.received_at),
                secret_slot=event.request.secret_slot,
                is_claimed=claim.is_held,
                is_replay_suspected=claim.is_replay_suspected,
                dedupe_key=claim.dedupe_key,
                schema_id=event.validation.schema_id,
                traceparent=traceparent,
                media_type=event.media_type,
            ),
        )
