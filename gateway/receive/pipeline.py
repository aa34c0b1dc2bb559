"""The receive pipeline: verify, parse, identify, filter, validate; then claim, publish, commit.

Nothing is parsed before it is verified, nothing claimed before it is valid, nothing answered before it is durable.
Whatever is wrong is raised as a :class:`Rejection` where it is found, and becomes a response in
:mod:`gateway.receive.receiver`.

Everything before the claim is plain computation that never waits, so only genuine events become tasks. What waits is
a job (:mod:`gateway.receive.jobs`).

The module has slightly more than 200 lines because it is the order of the steps, for a single event and for a
batch.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from gateway.adapters.handshake_replies import HandshakeReply
from gateway.adapters.identity import Identity
from gateway.claims.event_key import EventKey, Part
from gateway.errors import Outcome, SchemaMismatch
from gateway.events.batch import Item
from gateway.events.body import Content
from gateway.events.strict_json import is_readable_json, traceparent_of
from gateway.events.validation import NO_OBJECT, UNKNOWN, UNREADABLE, UNTYPED, Validation, validate
from gateway.receive.aside import Aside
from gateway.receive.context import EventNote, RequestContext
from gateway.receive.handshakes import SubscriptionConfirmer
from gateway.receive.jobs import (
    AT_A_TIME,
    ConfirmSubscription,
    ExamineAside,
    FetchKey,
    Job,
    Keys,
    PublishBatch,
    PublishEvent,
)
from gateway.receive.publishing import EventPublisher, PendingEvent
from gateway.receive.responses import Response, handshake_response
from gateway.receive.route import Route
from gateway.signatures.request import VerifiedRequest
from gateway.signatures.schemes.base import LARGE
from gateway.signatures.schemes.fetched_keys import KeyNeeded

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans


class _Received(NamedTuple):
    """A verified request.

    Attributes:
        request: the request.
        payload: its parsed body.
        at: when it was verified, in Unix seconds.
        is_readable: whether every JSON reader takes its body; false if it has a number that most refuse.
    """

    request: VerifiedRequest
    payload: object
    at: float
    is_readable: bool


class Pipeline:
    """Finds out what a request is, and what is left to do for it.

    Args:
        publisher: claims and publishes events.
        keys: fetches public keys, for adapters whose providers publish theirs.
        clock: Unix seconds.
        spans: makes spans if tracing is on.
        notes_events: whether the events of a list are recorded one by one.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        keys: Keys,
        clock: Callable[[], float],
        spans: Spans | None = None,
        *,
        notes_events: bool = False,
    ) -> None:
        self._publisher = publisher
        self._keys = keys
        self._clock = clock
        self._spans = spans
        self._notes_events = notes_events
        self._confirmer = SubscriptionConfirmer()
        self._aside = Aside()

    def examine(self, context: RequestContext, *, at_once: bool = False) -> Job | Response:
        """Take every step that does not wait; return the response, or the job that is left.

        A large body becomes a job that verifies it on another thread, unless it is to be verified ``at_once``.

        Raises:
            Rejection: the request is refused.
        """
        route, request = context.route, context.request
        if route.adapter.handshake_responder is not None and (
            reply := route.answer_unsigned(request, context.client)
        ):
            return self._reply(reply)
        if len(request.body) > LARGE and not at_once and route.adapter.verifies_aside:
            return ExamineAside(partial(self._examine_aside, context))
        now = self._clock()
        try:
            verified = route.adapter.verify(request, now)  # nothing above this line claims or publishes
        except KeyNeeded as needed:
            return FetchKey(self._keys, context, needed.request, self.examine)
        self._note_verified(context, verified)
        return self._recognise(context, verified, route.reader.read(verified.headers, verified.body), now)

    async def _examine_aside(self, context: RequestContext) -> Job | Response:
        """Examine a request with a large body: other threads digest and parse it."""
        route, request, now = context.route, context.request, self._clock()
        verified = await self._aside.run(partial(route.adapter.verify, request, now))
        self._note_verified(context, verified)
        async with self._aside.parsing:
            content = await self._aside.run(partial(route.reader.read, verified.headers, verified.body))
            return self._recognise(context, verified, content, now)

    def _note_verified(self, context: RequestContext, verified: VerifiedRequest) -> None:
        route = context.route
        context.verified = verified
        context.traceparent = traceparent_of(verified.headers)
        route.metrics.count_secret_slot(verified.secret_slot)
        route.admission.count_verified()
        if self._spans is not None:
            context.span = span = self._spans.begin(
                route.name, context.request.method, context.started_at, context.traceparent
            )
            context.traceparent = span.traceparent

    def _recognise(
        self, context: RequestContext, verified: VerifiedRequest, content: Content, now: float
    ) -> Job | Response:
        """Return the response to a verified request, or the job that is left.

        Raises:
            Rejection: the request is refused.
        """
        route, payload, items = context.route, content.payload, content.items
        if route.adapter.handshake_responder is not None and (
            reply := route.answer_signed(verified, payload)
        ):
            return self._reply(reply)
        if items is not None:
            context.event_id = route.adapter.delivery_id(verified, payload) or _digest(verified.body)
            context.events = len(items)
            context.request.body = verified.body = b""  # the items have it
            if not items:
                return context.respond(Outcome.IGNORED)
            if self._notes_events:
                context.notes = []
            received = _Received(verified, payload, now, content.is_readable)
            return PublishBatch(
                self._publisher, context, len(items), partial(_examine_items, context, received, items)
            )
        identity = route.adapter.identify(verified, payload)
        context.identity = identity
        context.event_type = route.envelope.word_of(identity.event_type)
        key = route.keys.key_of(identity, verified, payload, now)
        context.event_id = key.event_id
        if not route.accepts(context.event_type):
            route.metrics.count_event(Outcome.IGNORED)
            return context.respond(Outcome.IGNORED)
        validation = _validate(
            route, identity, payload, is_json=content.media_type is None, is_readable=content.is_readable
        )
        context.request.body = verified.body = b""  # the event has it: bodies of requests under way add up
        event = PendingEvent(key, verified, identity, validation, now, content.data, content.media_type)
        return PublishEvent(self._publisher, context, event)

    def _reply(self, reply: HandshakeReply) -> Job | Response:
        if reply.confirm:
            return ConfirmSubscription(self._confirmer, reply, reply.confirm)
        return handshake_response(reply)


async def _examine_items(
    context: RequestContext, received: _Received, items: list[Item], tally: Counter[str]
) -> deque[PendingEvent]:
    """Return the events of a batch that are to be published, and count the others in ``tally``.

    Equal items are one event. Different items are never one, whatever ids they have.

    Raises:
        SchemaMismatch: one of them breaks its schema, and the provider is set to reject such events.
    """
    route, request = context.route, received.request
    events: deque[PendingEvent] = deque()
    known: dict[
        str, bytes
    ] = {}  # by key, what it stands for: the item and what surrounds it, or what is signed
    for place, (item, data, parent, surroundings) in enumerate(items):
        if place % AT_A_TIME == AT_A_TIME - 1:
            await asyncio.sleep(0)  # a long batch takes a while, and other requests have their deadlines
        identity = route.adapter.identify(request, received.payload, item, parent)
        if not route.accepts(route.envelope.word_of(identity.event_type)):
            _count(context, tally, Outcome.IGNORED, identity)
            continue
        # If the items are signed one by one, what is not signed does not make a second event.
        content = data + surroundings if request.signed_items is None else request.signed_items[place]
        key = route.keys.key_of(identity, request, item, received.at, Part(data, place, surroundings))
        if known.get(key.text, content) != content:
            key = _key_by_content(key, content)
        if key.text in known:
            _count(context, tally, Outcome.DUPLICATE, identity, key.event_id)
            continue
        known[key.text] = content
        is_readable = received.is_readable or is_readable_json(data)
        validation = _validate(route, identity, item, is_item=True, is_readable=is_readable)
        events.append(PendingEvent(key, request, identity, validation, received.at, data))
    items.clear()  # the events have their bytes
    return events


def _key_by_content(key: EventKey, content: bytes) -> EventKey:
    digest = _digest(b"%b\0%b" % (key.text.encode(), content))
    return key._replace(event_id=digest, text=digest, is_id_enough=True)


def _count(
    context: RequestContext, tally: Counter[str], outcome: Outcome, identity: Identity, event_id: str = ""
) -> None:
    tally[outcome] += 1
    context.route.metrics.count_event(outcome)
    event_type = context.route.envelope.word_of(identity.event_type)
    context.note_event(EventNote(outcome, event_id or identity.event_id or "", event_type, identity))


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _validate(
    route: Route,
    identity: Identity,
    payload: object,
    *,
    is_json: bool = True,
    is_item: bool = False,
    is_readable: bool,
) -> Validation:
    """Validate an event against its schema; there is none for what is not JSON.

    Raises:
        SchemaMismatch: the event breaks its schema, and the provider is set to reject such events.
    """
    if not is_readable:
        validation = UNREADABLE
    elif is_item and type(payload) is not dict:
        validation = NO_OBJECT
    elif not identity.is_typed:
        validation = UNTYPED
    else:
        validation = validate(route.schemas, identity.event_type, payload) if is_json else UNKNOWN
    if validation.violations and route.rejects_invalid:
        raise SchemaMismatch(validation.violations)
    return validation
