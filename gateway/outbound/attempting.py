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
from gateway.outbound.circuit import Circuit
from gateway.outbound.client import OutboundRequest, Result
from gateway.outbound.deliver import Attempter
from gateway.outbound.ids import Ids
from gateway.outbound.models import Attempt, Delivery, DeliveryState, Endpoint, Health, OutboundMessage
from gateway.outbound.notices import Notices
from gateway.outbound.outcomes import Outcome
from gateway.outbound.reporting import Reporter
from gateway.outbound.requests import CannotSign, request_of
from gateway.outbound.schedule import decide
from gateway.outbound.sender import Sender
from gateway.outbound.store import Record, StoreUnavailable

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
        self.rules_of = rules_of
        self._client = client
        self._clock = clock
        self._reporter = reporter
        self._notices = notices
        self._random = random
        self._ids = Ids()
        self._telling: set[asyncio.Task[None]] = set()

    @override
    def sender_of(self, endpoint: Endpoint, health: Health) -> Sender:
        return Sender(endpoint, Circuit(endpoint, health))

    @override
    async def attempt(self, sender: Sender, delivery: Delivery, message: OutboundMessage | None) -> Record:
        endpoint, began_at = sender.endpoint, self._clock()
        result = await self._send(endpoint, message, began_at)
        now = self._clock()
        decision = decide(delivery, endpoint, result, now, self._random)
        after = msgspec.structs.replace(
            decision.delivery, made=delivery.made + 1, status=result.status, outcome=result.outcome.value
        )
        attempt = Attempt(
            id=self._ids.new("att", began_at),
            delivery=delivery.id,
            endpoint=endpoint.id,
            message=delivery.message,
            trigger=delivery.trigger,
            number=after.made,
            at=began_at,
            outcome=result.outcome.value,
            status=result.status,
            ms=result.ms,
            phases=dict(result.phases),
            address=result.address,
            excerpt=result.excerpt,
            retry_after=decision.retry_after,
            next_at=after.due_at if after.state is DeliveryState.PENDING else None,
        )
        notices = sender.circuit.ended(result, decision, now, self._random)
        if message is not None:
            self._reporter.attempted(endpoint, message, after, attempt)
            if after.state is DeliveryState.DEAD:
                self._tell(self._notices.dead(endpoint, message, after, now))
        for notice in notices:
            self._reporter.noticed(endpoint, notice, sender.circuit.health.reason)
            since = sender.circuit.health.failing_since or now
            self._tell(self._notices.endpoint(endpoint, notice, sender.circuit.health.reason, since))
        return Record(after, attempt, 0)

    async def _send(self, endpoint: Endpoint, message: OutboundMessage | None, now: float) -> Result:
        if message is None or message.body is None:
            return Result(Outcome.FORMAT, "the event is no longer kept")
        try:
            request = request_of(endpoint, message, now)
        except CannotSign as error:
            return Result(Outcome.FORMAT, str(error))
        try:
            return await self._client.send(request, self.rules_of(endpoint))
        except asyncio.CancelledError:  # the process ends: what was sent may have arrived, and is sent again
            return Result(Outcome.INTERRUPTED)

    def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_told(telling))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


async def _told(telling: Coroutine[Any, Any, None]) -> None:
    try:
        await telling
    except StoreUnavailable as error:
        log.warning("notice not kept", cause=str(error))
