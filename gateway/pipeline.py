"""The way of every event, in the order in which things happen.

Nothing is parsed before it is verified, nothing claimed before it is valid, nothing answered before it is
durable; and a claim becomes permanent only after the broker's confirm. Whatever is wrong is raised as a
:class:`Rejection` where it is found and becomes an answer in :mod:`gateway.webhooks`.

What precedes the claim is plain computation and never waits, so that only genuine events become tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from gateway.answers import Outcome
from gateway.dedupe import Claim, Dedupe
from gateway.endpoint import Endpoint
from gateway.errors import BrokerUnavailable, SchemaMismatch
from gateway.exchange import Exchange
from gateway.payload import check_media_type, parse_json, traceparent_of
from gateway.publishers import QUARANTINE_SUFFIX, Message, Publisher, PublishUnavailable
from providers import Identity, VerifiedRequest
from providers.greeting import Greeting
from providers.identity import clean_attribute
from providers.times import rfc3339_milliseconds


class Validation(NamedTuple):
    """What the schemas say of an event.

    Attributes:
        schema_id: the schema that it passed, None when there is none or it did not.
        violations: the rules that it breaks, for people; never a value of the body. None when it breaks none.
    """

    schema_id: str | None
    violations: str | None


class Event(NamedTuple):
    """A genuine event that is to be published.

    Attributes:
        id: by which repetitions are recognised.
        request: the request that brought it.
        identity: what it is.
        validation: what the schemas say of it.
        received_at: when it came, in Unix seconds.
    """

    id: str
    request: VerifiedRequest
    identity: Identity
    validation: Validation
    received_at: float


Work = Event | Greeting
"""What an answer has to wait for: an event that is published, or an address that is fetched."""

_UNKNOWN = Validation(None, None)
_UNTYPED = Validation(None, "/: the event type is missing")


class Pipeline:
    """What happens to a request.

    Args:
        dedupe: decides who publishes an event.
        publisher: the way to the broker.
        exchange: the exchange for events.
        clock: Unix seconds.
    """

    def __init__(
        self, dedupe: Dedupe, publisher: Publisher, exchange: str, clock: Callable[[], float]
    ) -> None:
        self._dedupe = dedupe
        self._publisher = publisher
        self._exchange = exchange
        self._clock = clock

    def examine(self, exchange: Exchange, body: bytes) -> Event | Greeting | Outcome:
        """The event in a request for an endpoint, or what it is if there is nothing to publish.

        Raises:
            Rejection: it is refused.
        """
        endpoint, request = exchange.endpoint, exchange.request
        request.body = body
        greeter = endpoint.adapter.greeter
        if greeter is not None and (greeting := greeter.greet_stranger(request)):
            return endpoint.welcome(greeting)
        now = self._clock()
        verified = endpoint.adapter.verify(request, now)  # nothing before this line claims or publishes
        endpoint.metrics.count_secret_slot(verified.secret_slot)
        endpoint.admission.note_verified()
        check_media_type(verified.headers)
        payload = parse_json(verified.body)
        if greeter is not None and (greeting := greeter.greet_sender(verified, payload)):
            return endpoint.welcome(greeting)
        identity = endpoint.adapter.identify(verified, payload)
        exchange.event_type = identity.event_type
        exchange.event_id = event_id = identity.event_id or sha256(verified.body).hexdigest()
        if not endpoint.wants(identity.event_type):
            return Outcome.IGNORED
        validation = _validate(endpoint, identity, payload)
        if validation.violations and endpoint.rejects_invalid:
            raise SchemaMismatch(validation.violations)
        return Event(event_id, verified, identity, validation, now)

    async def deliver(self, exchange: Exchange, event: Event) -> Outcome:
        """Claim the event, publish it, and let it be known as done.

        Raises:
            Rejection: it cannot be published now.
        """
        endpoint = exchange.endpoint
        claim = await self._dedupe.acquire(
            endpoint.name,
            event.id,
            event.request.body,
            endpoint.metrics,
            is_id_signed=endpoint.adapter.signs_event_id,
            longest_wait=endpoint.longest_wait,
        )
        if claim is None:
            return Outcome.DUPLICATE
        try:
            message = self._compose(endpoint, event, claim)
            exchange.request.body = event.request.body = b""  # the message has it; large ones add up
            await self._publisher.publish(message)
        except PublishUnavailable as error:
            self._dedupe.release(claim)
            raise BrokerUnavailable(str(error)) from error
        except BaseException:
            self._dedupe.release(claim)
            raise
        self._dedupe.commit(claim, endpoint.metrics)
        exchange.cause = event.validation.violations
        return Outcome.QUARANTINED if event.validation.violations else Outcome.ACCEPTED

    def _compose(self, endpoint: Endpoint, event: Event, claim: Claim) -> Message:
        envelope, identity = endpoint.envelope, event.identity
        routing_key, kind = envelope.names_of(identity.event_type)
        source = envelope.source_of(identity)
        traceparent = traceparent_of(event.request.headers)
        headers = {
            "provider": endpoint.name,
            "adapter": endpoint.adapter.name,
            "eventtype": identity.event_type,
            "source": source,
        }
        if traceparent:
            headers["traceparent"] = traceparent
        violations = event.validation.violations
        if violations:
            headers["violations"] = violations
        return Message(
            exchange=self._exchange + QUARANTINE_SUFFIX if violations else self._exchange,
            routing_key=routing_key,
            message_id=event.id,
            type=kind,
            headers=headers,
            body=envelope.encode(
                identity,
                event.id,
                source,
                kind,
                event.request.body,
                received_at=rfc3339_milliseconds(event.received_at),
                secret_slot=event.request.secret_slot,
                is_claimed=claim.is_held,
                is_replay_suspected=claim.is_replay_suspected,
                schema_id=event.validation.schema_id,
                traceparent=traceparent,
            ),
        )


def _validate(endpoint: Endpoint, identity: Identity, payload: object) -> Validation:
    if not identity.is_typed:
        return _UNTYPED
    schema = endpoint.schemas.find(identity.event_type)
    if schema is None:
        return _UNKNOWN
    if schema.is_valid(payload):
        return Validation(schema.id, None)
    broken = "; ".join(
        f"{violation.path or '/'}: {violation.rule or '/'}" for violation in schema.explain(payload)
    )
    return Validation(None, clean_attribute(broken) or "/: /")
