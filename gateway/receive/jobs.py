"""What is left to do for a request after its examination: everything that waits.

The examination is plain computation. It returns a response, or one of these jobs, so a refused request costs no task.

The module has slightly more than 200 lines because a request ends in one of these five ways, and a reader compares
them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import structlog
from typing_extensions import override

from gateway.adapters.adapter import BoundAdapter
from gateway.adapters.handshake_replies import HandshakeReply
from gateway.errors import Internal, KeyUnavailable, Outcome
from gateway.receive.context import EventNote, RequestContext
from gateway.receive.handshakes import SubscriptionConfirmer
from gateway.receive.publishing import EventPublisher, PendingEvent
from gateway.receive.responses import Response, handshake_response
from gateway.signatures.rejections import Rejection
from gateway.signatures.schemes.fetched_keys import KeyRequest

AT_A_TIME = 100
"""Events of one batch that are claimed or published at the same time."""

_MAX_KEY_FETCHES = 3
"""Fetches for one request: what others have fetched meanwhile, then a token, then the key itself."""

_PRECEDENCE = (Outcome.QUARANTINED, Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.IGNORED)
"""The outcome of a batch is the first of these that one of its events had."""

log = structlog.get_logger()


class Job(Protocol):
    """What is left to do for one request.

    Attributes:
        width: the events under way at the same time while it runs, for the limit on them; 0 if nobody has proven yet
            who sent the request.
    """

    __slots__ = ()

    width: int

    def run(self) -> Awaitable[Response | Outcome]:
        """Do it, and return the response, or the outcome that the response reports.

        Raises:
            Rejection: the request is refused.
        """


class Keys(Protocol):
    """Fetches the public keys that providers sign with."""

    async def fetch(self, adapter: BoundAdapter, request: KeyRequest, client: str) -> None:
        """Have ``adapter`` learn the key that it asked for, on behalf of a request from ``client``.

        Raises:
            Rejection: the key cannot be fetched, or does not exist.
        """


Examination: TypeAlias = Callable[[RequestContext], Job | Response]
"""Examines a request again, with a key that has been fetched meanwhile."""


class PublishEvent(Job):
    """Publish the one event of a request.

    Attributes:
        publisher: claims and publishes it.
    """

    __slots__ = ("_context", "_event", "publisher")
    width = 1

    def __init__(self, publisher: EventPublisher, context: RequestContext, event: PendingEvent) -> None:
        self.publisher = publisher
        self._context = context
        self._event = event

    @override
    def run(self) -> Awaitable[Outcome]:
        return self.publisher.publish(self._context, self._event)


class PublishBatch(Job):
    """Publish the events of a batch side by side.

    Args:
        publisher: publishes each of them.
        context: the request.
        count: how many items the batch has.
        examine_items: fills a tally with what is not to be published, and returns the rest.

    Attributes:
        publisher: claims and publishes the events.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        context: RequestContext,
        count: int,
        examine_items: Callable[[Counter[str]], Awaitable[deque[PendingEvent]]],
    ) -> None:
        self.width = min(count, AT_A_TIME)
        self.publisher = publisher
        self._context = context
        self._examine_items = examine_items
        self._failures: list[Rejection] = []

    @override
    async def run(self) -> Outcome:
        context = self._context
        context.tally = tally = Counter[str]()
        waiting = await self._examine_items(tally)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(waiting), AT_A_TIME)):
                group.create_task(self._publish_each(waiting, tally))
        if self._failures:
            # A 500 asks for more attention than a 503.
            raise min(self._failures, key=lambda rejection: rejection.status)
        return next(outcome for outcome in _PRECEDENCE if tally[outcome])

    async def _publish_each(self, waiting: deque[PendingEvent], tally: Counter[str]) -> None:
        """Publish events until none is left, or one fails.

        After a failure no more are begun: the provider retries the whole batch, and those that were published are
        duplicates then.
        """
        context = self._context
        while waiting and not self._failures:
            event = waiting.popleft()
            try:
                outcome = await self.publisher.publish(context, event)
            except Rejection as rejection:
                self._note(event, rejection.reason, tally)
                self._failures.append(rejection)
            except Exception:
                log.exception("internal error", provider=context.provider, event_id=event.key.event_id)
                self._note(event, Internal.reason, tally)
                self._failures.append(Internal())
            except (
                BaseException
            ):  # a cancelled task does not fail its group, so the batch would pass for published
                self._failures.append(Internal())
                raise
            else:
                self._note(event, outcome, tally)

    def _note(self, event: PendingEvent, outcome: str, tally: Counter[str]) -> None:
        tally[outcome] += 1
        context, identity = self._context, event.identity
        event_type = context.route.envelope.word_of(identity.event_type)
        violations = event.validation.violations or ""
        context.note_event(
            EventNote(outcome, event.key.event_id, event_type, identity, event.is_spooled, violations)
        )


class ConfirmSubscription(Job):
    """Fetch the address by which a provider wants a subscription confirmed.

    Attributes:
        reply: the response once it is confirmed.
    """

    width = 1

    def __init__(self, confirmer: SubscriptionConfirmer, reply: HandshakeReply, url: str) -> None:
        self._confirmer = confirmer
        self.reply = reply
        self._url = url

    @override
    async def run(self) -> Response:
        await self._confirmer.confirm(self._url)
        return handshake_response(self.reply)


class FetchKey(Job):
    """Fetch the key that a request is signed with, and examine the request again.

    Nobody is proven before, so these requests have a limit of their own and take no room from events.
    """

    width = 0

    def __init__(self, keys: Keys, context: RequestContext, needed: KeyRequest, examine: Examination) -> None:
        self._keys = keys
        self._context = context
        self._needed = needed
        self._examine = examine

    @override
    async def run(self) -> Response | Outcome:
        context = self._context
        if context.key_fetches == _MAX_KEY_FETCHES:
            raise KeyUnavailable("the key is still not there")
        context.key_fetches += 1
        await self._keys.fetch(context.route.adapter, self._needed, context.client)
        return await finished(self._examine(context))


class ExamineAside(Job):
    """Examine a request whose body is so large that other threads digest it."""

    width = 1

    def __init__(self, examine: Callable[[], Awaitable[Job | Response]]) -> None:
        self._examine = examine

    @override
    async def run(self) -> Response | Outcome:
        return await finished(await self._examine())


async def finished(found: Job | Response) -> Response | Outcome:
    """Run a job if there is one, and return the response or the outcome."""
    return found if isinstance(found, Response) else await found.run()
