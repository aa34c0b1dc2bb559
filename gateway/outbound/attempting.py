"""Make one attempt: sign the request, send it, and decide what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Protocol

import msgspec
import structlog
from typing_extensions import override

from gateway.outbound.addresses import AddressRules
from gateway.outbound.behaviour import Behaviour
from gateway.outbound.client import OutboundRequest, Result
from gateway.outbound.deliver import Attempter
from gateway.outbound.envelope import NoSuchFormat
from gateway.outbound.ids import Ids
from gateway.outbound.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Health,
    OutboundMessage,
)
from gateway.outbound.notices import Notice
from gateway.outbound.outcomes import Outcome
from gateway.outbound.reporting import Reporter
from gateway.outbound.schedule import decide
from gateway.outbound.sender import Sender
from gateway.outbound.store import Record, StoreUnavailable
from gateway.outbound.telling import Notices

log = structlog.get_logger()


class Sends(Protocol):
    """Sends requests, as :class:`gateway.outbound.client.Client` does."""

    async def send(self, request: OutboundRequest, rules: AddressRules | None = None) -> Result:
        """Send a request; see :meth:`gateway.outbound.client.Client.send`."""


class RequestAttempter(Attempter):
    """Makes attempts over HTTP.

    Args:
        client: Sends requests.
        rules_of: Returns where an endpoint may lead.
        clock: Returns Unix seconds, by which deliveries become due.
        reporter: Tells what attempts did.
        notices: Tells owners what happened to their endpoints.
        random: Spreads what would come all at once.
    """

    def __init__(
        self,
        client: Sends,
        rules_of: Callable[[Endpoint], AddressRules],
        clock: Callable[[], float],
        reporter: Reporter,
        notices: Notices,
        random: Random,
    ) -> None:
        self._rules_of = rules_of
        self._rules: dict[str, tuple[Endpoint, AddressRules]] = {}
        self._client = client
        self._clock = clock
        self._reporter = reporter
        self._notices = notices
        self._random = random
        self._ids = Ids()
        self._telling: set[asyncio.Task[None]] = set()

    @override
    def sender_of(self, endpoint: Endpoint, health: Health) -> Sender:
        behaviour = Behaviour(endpoint, health, self._random.random)
        return Sender(endpoint, behaviour, asyncio.get_running_loop().time)

    @override
    async def attempt(self, sender: Sender, delivery: Delivery, message: OutboundMessage | None) -> Record:
        endpoint, began_at = sender.endpoint, self._clock()
        result = await self._send(sender, _as_sent(message, delivery), began_at)
        now = self._clock()
        verdict = decide(
            delivery,
            result.outcome,
            result.status,
            result.headers,
            endpoint.give_up_on,
            now,
            self._random.random,
        )
        earlier = None
        if result.earlier is not None:
            # On a kept connection that the receiver had closed, which does not count as a failure.
            delivery = msgspec.structs.replace(delivery, made=delivery.made + 1)
            closed_at = began_at + result.earlier.ms / 1000
            earlier = self._attempt_of(delivery, result.earlier, began_at, closed_at)
            began_at = closed_at
            if message is not None:
                self._reporter.attempted(endpoint, message, delivery, earlier)
        after = msgspec.structs.replace(
            delivery,
            state=verdict.state,
            attempts=verdict.attempts,
            due_at=delivery.due_at if verdict.next_at is None else verdict.next_at,
            ended_at=now if verdict.next_at is None else None,
            made=delivery.made + 1,
            status=result.status,
            outcome=result.outcome.value,
        )
        before = sender.behaviour.health
        notices = sender.behaviour.ended(result, verdict, began_at, now)
        # An attempt that disables its endpoint has no next one: the delivery is held from now on.
        is_enabled = sender.behaviour.health.state is EndpointState.ENABLED
        next_at = verdict.next_at if is_enabled else None
        attempt = self._attempt_of(after, result, began_at, next_at, verdict.retry_after)
        if message is not None:
            self._reporter.attempted(endpoint, message, after, attempt, result.detail)
            if after.state is DeliveryState.DEAD:
                self._tell(self._notices.dead(endpoint, message, after, now))
        self._reporter.behaved(endpoint, before, sender.behaviour.health, now)
        for notice in notices:
            self._note(sender, notice, now)
        return Record(after, attempt, 0, earlier)

    def _attempt_of(
        self,
        delivery: Delivery,
        result: Result,
        at: float,
        next_at: float | None,
        retry_after: float | None = None,
    ) -> Attempt:
        """Return the last attempt that has been made of a delivery."""
        return Attempt(
            id=self._ids.new("att", at),
            delivery=delivery.id,
            endpoint=delivery.endpoint,
            message=delivery.message,
            trigger=delivery.trigger,
            number=delivery.made,
            at=at,
            outcome=result.outcome.value,
            status=result.status,
            ms=result.ms,
            phases=dict(result.phases),
            address=result.address,
            excerpt=result.excerpt,
            retry_after=retry_after,
            next_at=next_at,
        )

    def forget_rules(self) -> None:
        """Ask again where endpoints may lead: the configuration has changed."""
        self._rules.clear()

    def _rules_for(self, endpoint: Endpoint) -> AddressRules:
        """Return the same rules for each attempt, because judgments are remembered by their rules."""
        known = self._rules.get(endpoint.id)
        if known is None or known[0] is not endpoint:
            known = self._rules[endpoint.id] = endpoint, self._rules_of(endpoint)
        return known[1]

    async def _send(self, sender: Sender, message: OutboundMessage | None, now: float) -> Result:
        if message is None:
            return Result(Outcome.FORMAT, "the event is no longer kept")
        if sender.requests is None:
            return Result(Outcome.FORMAT, "a secret of the endpoint cannot be used")
        try:
            request = sender.requests.make(message, now)
        except NoSuchFormat as error:
            return Result(Outcome.FORMAT, f"the event {error}")
        try:
            return await self._client.send(request, self._rules_for(sender.endpoint))
        except asyncio.CancelledError:  # the process ends: what was sent may have arrived, and is sent again
            return Result(Outcome.INTERRUPTED)

    def _note(self, sender: Sender, notice: Notice, now: float) -> None:
        health = sender.behaviour.health
        self._reporter.noticed(sender.endpoint, notice, health.reason)
        since = now if health.failing_since is None else health.failing_since
        self._tell(self._notices.endpoint(sender.endpoint, notice, health.reason, since))

    def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_told(telling))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


def _as_sent(message: OutboundMessage | None, delivery: Delivery) -> OutboundMessage | None:
    """Return a message with the id that the receiver is to get."""
    if message is None or not delivery.webhook_id:
        return message
    return msgspec.structs.replace(message, id=delivery.webhook_id)


async def _told(telling: Coroutine[Any, Any, None]) -> None:
    try:
        await telling
    except StoreUnavailable as error:
        log.warning("notice not kept", cause=str(error))
