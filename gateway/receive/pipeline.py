"""The way of every event, in the order in which things happen.

Nothing is parsed before it is verified, nothing claimed before it is valid, nothing answered before it is
durable; and a claim becomes permanent only after the broker's confirm. Whatever is wrong is raised as a
:class:`Rejection` where it is found and becomes an answer in :mod:`gateway.receive.receiver`.

What precedes the claim is plain computation and never waits, so that only genuine events become tasks.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import structlog

from gateway.adapters.handshake_replies import HandshakeReply
from gateway.adapters.identity import Identity
from gateway.claims.dedupe import Claim, Dedupe
from gateway.claims.event_key import EventKey, Part
from gateway.errors import BrokerUnavailable, Internal, SchemaMismatch
from gateway.events.batch import Item
from gateway.events.body import Content
from gateway.events.strict_json import is_readable_json, traceparent_of
from gateway.events.validation import NO_OBJECT, UNKNOWN, UNREADABLE, UNTYPED, Validation, judge
from gateway.publishers import QUARANTINE_SUFFIX, Message, Publisher, PublishUnavailable
from gateway.receive.context import RequestContext
from gateway.receive.responses import Outcome
from gateway.receive.route import Route
from gateway.signatures.rejections import Rejection
from gateway.signatures.request import VerifiedRequest
from gateway.signatures.schemes.base import LARGE
from gateway.signatures.schemes.fetched_keys import KeyNeeded, KeyRequest
from gateway.signatures.times import rfc3339_milliseconds

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans

_THREADS = 2  # that digest; each holds a body for that time, and a machine has few cores for them

AT_A_TIME = 100
"""Events of one delivery that are claimed or published at a time."""

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(slots=True)
class PendingEvent:
    """A genuine event that is to be published.

    Attributes:
        key: what it is known by.
        request: the request that brought it.
        identity: what it is.
        validation: what the schemas say of it.
        received_at: when it came, in Unix seconds.
        data: the bytes that it consists of, until the message has them.
        media_type: theirs; None for JSON, empty where there are none.
    """

    key: EventKey
    request: VerifiedRequest
    identity: Identity
    validation: Validation
    received_at: float
    data: bytes
    media_type: str | None = None


class Batch(NamedTuple):
    """A delivery of several events.

    Attributes:
        request: the request that brought them.
        payload: its parsed body.
        items: the events in it.
        received_at: when it came, in Unix seconds.
        is_readable: False where one of them has a number that most readers of JSON refuse.
    """

    request: VerifiedRequest
    payload: object
    items: list[Item]
    received_at: float
    is_readable: bool = True


class Later:
    """What is left to do for a request whose body is so large that it is to be verified by another thread."""


LATER = Later()

Work: TypeAlias = PendingEvent | Batch | HandshakeReply | KeyRequest | Later
"""What a request is found to be: events to publish, a handshake, or nothing that can be told yet."""


def width_of(work: Work) -> int:
    """How many events are under way at a time while it is done."""
    return min(len(work.items), AT_A_TIME) if isinstance(work, Batch) else 1


_PRECEDENCE = (Outcome.QUARANTINED, Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.IGNORED)
"""Of the outcomes of several events, the one that is told."""


class Pipeline:
    """What happens to a request.

    Args:
        dedupe: decides who publishes an event.
        publisher: the way to the broker.
        exchange: the exchange for events.
        clock: Unix seconds.
        spans: makes spans, where there are any.
    """

    def __init__(
        self,
        dedupe: Dedupe,
        publisher: Publisher,
        exchange: str,
        clock: Callable[[], float],
        spans: Spans | None = None,
    ) -> None:
        self._dedupe = dedupe
        self._publisher = publisher
        self._exchange = exchange
        self._clock = clock
        self._spans = spans
        self._threads = ThreadPoolExecutor(_THREADS, "verify")

    def examine(self, exchange: RequestContext, *, at_once: bool = False) -> Work | Outcome:
        """What is to be done for a request whose body is there, or the outcome if that is nothing.

        A large body is left for :meth:`examine_aside`, unless it is to be examined ``at_once``.

        Raises:
            Rejection: it is refused.
        """
        endpoint, request = exchange.endpoint, exchange.request
        greeter = endpoint.adapter.handshake_responder
        if greeter is not None and (greeting := endpoint.answer_unsigned(request, exchange.client)):
            return greeting
        if len(request.body) > LARGE and not at_once and endpoint.adapter.verifies_aside:
            return LATER
        now = self._clock()
        try:
            verified = endpoint.adapter.verify(request, now)  # nothing before this line claims or publishes
        except KeyNeeded as needed:
            return needed.request
        self._note_verified(exchange, verified)
        return self._recognise(exchange, verified, endpoint.reader.read(verified.headers, verified.body), now)

    async def examine_aside(
        self, exchange: RequestContext
    ) -> PendingEvent | Batch | HandshakeReply | Outcome:
        """Examine what :meth:`examine` leaves for later: other threads make the digests of large bodies.

        Raises:
            Rejection: it is refused.
        """
        endpoint, request, now = exchange.endpoint, exchange.request, self._clock()
        verified = await self._run_aside(partial(endpoint.adapter.verify, request, now))
        self._note_verified(exchange, verified)
        content = await self._run_aside(partial(endpoint.reader.read, verified.headers, verified.body))
        return self._recognise(exchange, verified, content, now)

    async def _run_aside(self, work: Callable[[], T]) -> T:
        """Have another thread do something with a large body.

        What comes of it is handed over beside the future: that of a thread refers to itself, so that a body in its
        result, or in the traceback of its exception, would stay in memory until the garbage collector comes by.

        Raises:
            Rejection: it is refused.
        """
        waiting = [work]  # the thread may hold on to what it ran for a moment, but not to this
        made: list[T] = []
        refused: list[Rejection] = []

        def run() -> None:
            try:
                made.append(waiting.pop()())
            except Rejection as rejection:
                rejection.__traceback__ = rejection.__cause__ = rejection.__context__ = None
                refused.append(rejection)

        await asyncio.get_running_loop().run_in_executor(self._threads, run)
        if refused:
            raise refused.pop()
        return made.pop()

    def _note_verified(self, exchange: RequestContext, verified: VerifiedRequest) -> None:
        endpoint = exchange.endpoint
        endpoint.metrics.count_secret_slot(verified.secret_slot)
        endpoint.admission.reset_failures()
        if self._spans is not None:
            exchange.span = self._spans.begin(exchange, traceparent_of(verified.headers))

    def _recognise(
        self, exchange: RequestContext, verified: VerifiedRequest, content: Content, now: float
    ) -> PendingEvent | Batch | HandshakeReply | Outcome:
        """Find what is to be done for a request that is proven, or the outcome if that is nothing.

        Raises:
            Rejection: it is refused.
        """
        endpoint, greeter = exchange.endpoint, exchange.endpoint.adapter.handshake_responder
        payload, items = content.payload, content.items
        if greeter is not None and (greeting := endpoint.answer_signed(verified, payload)):
            return greeting
        if items is not None:
            exchange.event_id = endpoint.adapter.delivery_id(verified, payload) or _digest(verified.body)
            exchange.events = len(items)
            exchange.request.body = verified.body = b""  # the items have it
            return Batch(verified, payload, items, now, content.is_readable) if items else Outcome.IGNORED
        identity = endpoint.adapter.identify(verified, payload)
        exchange.event_type = endpoint.envelope.word_of(identity.event_type)
        key = endpoint.keys.key_of(identity, verified, payload, now)
        exchange.event_id = key.event_id
        if not endpoint.wants(exchange.event_type):
            endpoint.metrics.count_event(Outcome.IGNORED)
            return Outcome.IGNORED
        validation = _validate(
            endpoint, identity, payload, is_json=content.media_type is None, is_readable=content.is_readable
        )
        return PendingEvent(key, verified, identity, validation, now, content.data, content.media_type)

    async def deliver(self, exchange: RequestContext, work: PendingEvent | Batch) -> Outcome:
        """Claim each event, publish it, and let it be known as done.

        Raises:
            Rejection: one of them cannot be published now.
        """
        if isinstance(work, Batch):
            tally: Counter[str] = Counter()
            exchange.tally = tally
            events = await self._examine_items(exchange.endpoint, work, tally)
            return await self._deliver_all(exchange, events, tally)
        exchange.request.body = work.request.body = b""  # the event has it; large ones add up
        outcome = await self._publish(exchange, work)
        exchange.cause = work.validation.violations if outcome is Outcome.QUARANTINED else None
        return outcome

    async def _examine_items(self, endpoint: Route, batch: Batch, tally: Counter[str]) -> deque[PendingEvent]:
        """The events that are to be published: equal ones are one, different ones never, whatever ids they have.

        Raises:
            Rejection: one of them is against its schema, and such deliveries are refused.
        """
        request = batch.request
        events: deque[PendingEvent] = deque()
        known: dict[
            str, bytes
        ] = {}  # what each id stands for: its bytes, and the digest of what is around its list; or what is signed
        for place, (item, data, parent, context) in enumerate(batch.items):
            if place % AT_A_TIME == AT_A_TIME - 1:
                await asyncio.sleep(0)  # a long list takes a while, and others have their deadlines
            identity = endpoint.adapter.identify(request, batch.payload, item, parent)
            if not endpoint.wants(endpoint.envelope.word_of(identity.event_type)):
                tally[Outcome.IGNORED] += 1
                endpoint.metrics.count_event(Outcome.IGNORED)
                continue
            # What is not signed makes no second event of one that is.
            told = data + context if request.signed_items is None else request.signed_items[place]
            key = endpoint.keys.key_of(identity, request, item, batch.received_at, Part(data, place, context))
            if key.text in known and known[key.text] != told:
                own = _digest(b"%b\0%b" % (key.text.encode(), told))
                key = key._replace(event_id=own, text=own, is_id_enough=True)
            if key.text in known:
                tally[Outcome.DUPLICATE] += 1
                endpoint.metrics.count_event(Outcome.DUPLICATE)
                continue
            known[key.text] = told
            is_readable = batch.is_readable or is_readable_json(data)
            validation = _validate(endpoint, identity, item, is_item=True, is_readable=is_readable)
            events.append(PendingEvent(key, request, identity, validation, batch.received_at, data))
        batch.items.clear()  # the events have them
        return events

    async def _deliver_all(
        self, exchange: RequestContext, waiting: deque[PendingEvent], tally: Counter[str]
    ) -> Outcome:
        """Deliver events side by side. After a failure no more are begun: their sender repeats all, and we know the done.

        Raises:
            Rejection: one of them cannot be published now; what was published stays so.
        """
        failures: list[Rejection] = []

        async def deliver_next() -> None:
            while waiting and not failures:
                event = waiting.popleft()
                try:
                    outcome = await self._publish(exchange, event)
                except Rejection as rejection:
                    failures.append(rejection)
                    tally[rejection.reason] += 1
                except Exception:
                    log.exception("internal error", provider=exchange.provider, event_id=event.key.event_id)
                    failures.append(Internal())
                    tally[Internal.reason] += 1
                except BaseException:  # a task that is cancelled ends without a word, but not well
                    failures.append(Internal())
                    raise
                else:
                    tally[outcome] += 1
                    if outcome is Outcome.QUARANTINED:
                        exchange.cause = event.validation.violations

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(waiting), AT_A_TIME)):
                group.create_task(deliver_next())
        if failures:
            # 500 asks for more attention than 503.
            raise min(failures, key=lambda rejection: rejection.status)
        return next(outcome for outcome in _PRECEDENCE if tally[outcome])

    async def _publish(self, exchange: RequestContext, event: PendingEvent) -> Outcome:
        """What becomes of one event.

        Raises:
            Rejection: it cannot be published now.
        """
        endpoint, span = exchange.endpoint, exchange.span
        claim = await self._dedupe.acquire(
            endpoint.name, event.key, event.data, endpoint.metrics, longest_wait=endpoint.longest_wait
        )
        if claim is None:
            endpoint.metrics.count_event(Outcome.DUPLICATE)
            return Outcome.DUPLICATE
        try:
            traceparent = traceparent_of(event.request.headers) if span is None else span.traceparent
            message = self._compose(endpoint, event, claim, traceparent)
            event.data = b""  # the message has it
            await self._publisher.publish(message)
        except PublishUnavailable as error:
            self._dedupe.release(claim)
            raise BrokerUnavailable(str(error)) from error
        except BaseException:
            self._dedupe.release(claim)
            raise
        self._dedupe.commit(claim, endpoint.metrics)
        outcome = Outcome.QUARANTINED if event.validation.violations else Outcome.ACCEPTED
        endpoint.metrics.count_event(outcome)
        if span is not None:
            span.note_published(message)
        return outcome

    def _compose(
        self, endpoint: Route, event: PendingEvent, claim: Claim, traceparent: str | None
    ) -> Message:
        envelope, identity = endpoint.envelope, event.identity
        routing_key, kind = envelope.names_of(identity.event_type)
        source = envelope.source_of(identity)
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
            message_id=event.key.event_id,
            type=kind,
            headers=headers,
            body=envelope.encode(
                identity,
                event.key.event_id,
                source,
                kind,
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


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _validate(
    endpoint: Route,
    identity: Identity,
    payload: object,
    *,
    is_json: bool = True,
    is_item: bool = False,
    is_readable: bool,
) -> Validation:
    """What the schemas say; of what is not JSON, nothing.

    Raises:
        SchemaMismatch: they are broken, and such events are refused.
    """
    if not is_readable:
        validation = UNREADABLE
    elif is_item and type(payload) is not dict:
        validation = NO_OBJECT
    elif not identity.is_typed:
        validation = UNTYPED
    else:
        validation = judge(endpoint.schemas, identity.event_type, payload) if is_json else UNKNOWN
    if validation.violations and endpoint.rejects_invalid:
        raise SchemaMismatch(validation.violations)
    return validation
