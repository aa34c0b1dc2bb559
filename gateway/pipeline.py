"""The way of every event, in the order in which things happen.

Nothing is parsed before it is verified, nothing claimed before it is valid, nothing answered before it is
durable; and a claim becomes permanent only after the broker's confirm. Whatever is wrong is raised as a
:class:`Rejection` where it is found and becomes an answer in :mod:`gateway.asgi`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from starlette.types import Receive

from gateway.answers import Outcome
from gateway.body import bounded, read_body
from gateway.deadlines import Deadlines
from gateway.dedupe import Claim, Dedupe
from gateway.endpoint import Endpoint
from gateway.errors import BrokerUnavailable, SchemaMismatch
from gateway.payload import check_media_type, parse_json, traceparent_of
from gateway.publishers import QUARANTINE_SUFFIX, Message, Publisher, PublishUnavailable
from providers import Identity, RawRequest, VerifiedRequest
from providers.identity import clean_attribute
from providers.times import rfc3339_milliseconds


@dataclass(slots=True)
class Progress:
    """What is known of a request so far; gathered along the way for the one line that is logged of it."""

    endpoint: Endpoint
    event_id: str | None = None
    event_type: str | None = None
    size: int | None = None
    cause: str | None = None


class Validation(NamedTuple):
    """What the schemas say of an event.

    Attributes:
        schema_id: the schema that it passed, None when there is none or it did not.
        violations: the rules that it breaks, for people; never a value of the body. None when it breaks none.
    """

    schema_id: str | None
    violations: str | None


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
        self._deadlines = Deadlines()

    async def receive(
        self, request: RawRequest, arrived: bytes | None, receive: Receive, progress: Progress
    ) -> Outcome:
        """Take one request the whole way; ``request`` has no body yet, ``arrived`` is it if it is there.

        Raises:
            Rejection: it is refused.
            ClientDisconnected: its sender left before the body was complete.
        """
        endpoint = progress.endpoint
        adapter = endpoint.adapter
        if arrived is None:
            deadline = self._deadlines.within(endpoint.body_deadline)
            request.body = await read_body(request.headers, receive, endpoint.max_body, deadline)
        else:
            request.body = bounded(arrived, endpoint.max_body)
        progress.size = len(request.body)
        now = self._clock()
        verified = adapter.verify(request, now)  # nothing before this line touches any state
        endpoint.metrics.secret_slots[verified.secret_slot] += 1
        check_media_type(verified.headers)
        payload = parse_json(verified.body)
        identity = adapter.identify(verified, payload)
        progress.event_type = identity.event_type
        progress.event_id = event_id = identity.event_id or sha256(verified.body).hexdigest()
        if not endpoint.wants(identity.event_type):
            return Outcome.IGNORED
        validation = _validate(endpoint, identity, payload)
        if validation.violations and endpoint.rejects_invalid:
            raise SchemaMismatch(validation.violations)
        claim = await self._dedupe.acquire(endpoint.name, event_id)
        if claim is None:
            return Outcome.DUPLICATE
        try:
            message = self._compose(endpoint, verified, identity, event_id, validation, claim, now)
            await self._publisher.publish(message)
        except PublishUnavailable as error:
            self._dedupe.release(claim)
            raise BrokerUnavailable(str(error)) from error
        except BaseException:
            self._dedupe.release(claim)
            raise
        self._dedupe.commit(claim, endpoint.metrics)
        progress.cause = validation.violations
        return Outcome.QUARANTINED if validation.violations else Outcome.ACCEPTED

    def _compose(
        self,
        endpoint: Endpoint,
        request: VerifiedRequest,
        identity: Identity,
        event_id: str,
        validation: Validation,
        claim: Claim,
        now: float,
    ) -> Message:
        envelope = endpoint.envelope
        routing_key, kind = envelope.names_of(identity.event_type)
        source = envelope.source_of(identity)
        traceparent = traceparent_of(request.headers)
        headers = {
            "provider": endpoint.name,
            "adapter": endpoint.adapter.name,
            "eventtype": identity.event_type,
            "source": source,
        }
        if traceparent:
            headers["traceparent"] = traceparent
        if validation.violations:
            headers["violations"] = validation.violations
        return Message(
            exchange=self._exchange + QUARANTINE_SUFFIX if validation.violations else self._exchange,
            routing_key=routing_key,
            message_id=event_id,
            type=kind,
            headers=headers,
            body=envelope.encode(
                identity,
                event_id,
                source,
                kind,
                request.body,
                received_at=rfc3339_milliseconds(now),
                secret_slot=request.secret_slot,
                is_claimed=claim.is_held,
                schema_id=validation.schema_id,
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
