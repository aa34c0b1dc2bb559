"""A store in memory: what all others promise, for tests and for those who need nothing to last.

Longer than other modules, since each method is the shortest statement of its promise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec.structs import replace
from typing_extensions import override

from gateway.outbound.ids import renewed_id, shard_of
from gateway.outbound.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Health,
    Operation,
    OutboundMessage,
    Trigger,
)
from gateway.outbound.store import (
    MAX_COUNTED,
    Chosen,
    Conflict,
    DeliveryFilter,
    MessageFilter,
    MessagePlace,
    Record,
    Store,
)
from gateway.outbound.store.answers import Lease, Share, Tables, Waiting
from gateway.outbound.store.changes import configured_changes
from gateway.outbound.store.in_memory.leases import Leases
from gateway.outbound.store.in_memory.rows import Row, Rows, cancelled, is_wanted, new_round
from gateway.outbound.store.retention import (
    ATTEMPTS_KEPT,
    MESSAGES_KEPT,
    OPERATIONS_KEPT,
)

_WAITING = (DeliveryState.PENDING, DeliveryState.HELD)


class MemoryStore(Store):
    """Everything in dictionaries.

    Args:
        clock: Returns the present in Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._version = 0
        self._endpoints: dict[str, Endpoint] = {}
        self._health: dict[str, Health] = {}
        self._messages: dict[str, OutboundMessage] = {}
        self._rows = Rows()
        self._attempts: dict[str, Attempt] = {}
        self._leases = Leases()
        self._operations: dict[str, Operation] = {}

    @override
    async def start(self) -> None:
        pass  # there is nothing to open

    @override
    async def stop(self) -> None:
        pass  # what starts again finds everything as it was

    @override
    async def tables(self) -> Tables:
        return Tables(1, 1)

    @override
    async def migrate(self) -> Tables:
        return await self.tables()

    @override
    async def now(self) -> float:
        return self._clock()

    @override
    async def version(self) -> int:
        return self._version

    @override
    async def endpoints(self) -> list[tuple[Endpoint, Health]]:
        found = sorted(self._endpoints.values(), key=lambda each: (each.created_at, each.id))
        return [(each, self._health[each.id]) for each in found]

    @override
    async def endpoint(self, endpoint: str) -> tuple[Endpoint, Health] | None:
        found = self._endpoints.get(endpoint)
        return None if found is None else (found, self._health[endpoint])

    @override
    async def put_endpoint(self, endpoint: Endpoint, expected: int | None = None) -> Endpoint:
        version = self._endpoints[endpoint.id].version if endpoint.id in self._endpoints else 0
        if expected not in {None, version}:
            raise Conflict(f"{endpoint.id} has version {version}")
        self._version += 1
        self._health.setdefault(endpoint.id, Health(endpoint=endpoint.id))
        self._endpoints[endpoint.id] = replace(endpoint, version=version + 1)
        return self._endpoints[endpoint.id]

    @override
    async def delete_endpoint(self, endpoint: str) -> bool:
        if self._endpoints.pop(endpoint, None) is None:
            return False
        del self._health[endpoint]
        self._version += 1
        await self.cancel(DeliveryFilter(endpoint=endpoint))
        return True

    @override
    async def sync_configured(self, endpoints: Sequence[Endpoint]) -> None:
        changed, gone = configured_changes(self._endpoints.values(), endpoints)
        for each in changed:
            await self.put_endpoint(each)
        for name in gone:
            await self.delete_endpoint(name)

    @override
    async def put_health(self, health: Health, *, by_person: bool, was: EndpointState | None = None) -> None:
        known = self._health.get(health.endpoint)
        if known is None:
            return
        if was not in {None, known.state}:
            raise Conflict(f"{health.endpoint} is {known.state}")
        self._health[health.endpoint] = health
        self._version += by_person or health.state != known.state

    @override
    async def put_healths(self, healths: Sequence[tuple[Health, EndpointState]]) -> list[bool]:
        were = []
        for health, was in healths:
            try:
                await self.put_health(health, by_person=False, was=was)
            except Conflict:
                were.append(False)
            else:
                were.append(True)
        return were

    @override
    async def rekey(self) -> int:
        return 0

    @override
    async def accept(self, accepted: Sequence[tuple[OutboundMessage, Sequence[Delivery]]]) -> list[bool]:
        return [self._accept(message, deliveries) for message, deliveries in accepted]

    def _accept(self, message: OutboundMessage, deliveries: Sequence[Delivery]) -> bool:
        if message.id in self._messages:
            return False
        self._messages[message.id] = message
        for each in deliveries:
            endpoint = self._endpoints.get(each.endpoint)
            tenant = endpoint.tenant if endpoint else message.tenant
            kept = each if endpoint else cancelled(each, self._clock())
            self._rows.add(Row(kept, tenant, message.key, message.event_id, message.sequence))
        return True

    @override
    async def lease(self, owner: str, duration: float, *, want: int) -> list[Lease]:
        return self._leases.lease(owner, duration, want, self._clock())

    @override
    async def release(self, owner: str, shards: Iterable[int] | None = None) -> None:
        self._leases.release(owner, shards)

    @override
    async def owners(self) -> int:
        return self._leases.owners(self._clock())

    @override
    async def shares(self) -> list[Share]:
        return self._leases.shares(self._clock())

    @override
    async def due(
        self, endpoint: str, before: float, limit: int, without: Iterable[str] = ()
    ) -> list[Delivery]:
        unwanted = set(without)
        ready = self._ready(endpoint)
        found = [each for each in ready if each.due_at <= before and each.id not in unwanted]
        return sorted(found, key=lambda each: (each.due_at, each.id))[:limit]

    @override
    async def next_due(self, endpoints: Collection[str]) -> dict[str, float]:
        moments = {each: [ready.due_at for ready in self._ready(each)] for each in endpoints}
        return {endpoint: min(due) for endpoint, due in moments.items() if due}

    def _ready(self, endpoint: str) -> list[Delivery]:
        known = self._endpoints.get(endpoint)
        is_held_by_dead = known is not None and known.on_dead == "hold"
        return self._rows.ready(endpoint, is_held_by_dead=is_held_by_dead)

    @override
    async def messages(self, ids: Sequence[str]) -> dict[str, OutboundMessage]:
        return {each: self._messages[each] for each in ids if each in self._messages}

    @override
    async def record(self, records: Sequence[Record]) -> list[bool]:
        return [self._record(each) for each in records]

    def _record(self, record: Record) -> bool:
        delivery = record.delivery
        is_owner = self._leases.epoch(shard_of(delivery.endpoint)) == record.epoch
        message = self._messages.get(delivery.message)
        is_forgotten = message is not None and message.body is None
        for each in record.attempts:
            self._attempts.setdefault(each.id, replace(each, excerpt=b"") if is_forgotten else each)
        known = self._rows.get(delivery.id)
        if is_owner and known and known.state == DeliveryState.PENDING and known.round == delivery.round:
            ended_at = None if delivery.state in _WAITING else delivery.ended_at or self._clock()
            kept = replace(
                delivery,
                ended_at=ended_at,
                operation=known.operation,
                order_key=known.order_key,
                retries=known.retries,
                webhook_id=known.webhook_id,
            )
            self._rows.put(kept)
        return is_owner

    @override
    async def waiting(
        self, endpoints: Sequence[str], *, max_counted: int = MAX_COUNTED
    ) -> dict[str, Waiting]:
        known = self._endpoints
        return {each: self._waiting(each, max_counted) if each in known else Waiting() for each in endpoints}

    def _waiting(self, endpoint: str, max_counted: int) -> Waiting:
        due = min((each.due_at for each in self._ready(endpoint)), default=None)
        return self._rows.waiting(endpoint, max_counted)._replace(next_due=due)

    @override
    async def deliveries(
        self,
        wanted: DeliveryFilter,
        *,
        before: str = "",
        after: str = "",
        limit: int = 50,
        oldest_first: bool = False,
    ) -> list[Delivery]:
        found = self._rows.find(wanted)
        between = [each for each in found if each.id > after and (not before or each.id < before)]
        return between[:limit] if oldest_first else between[::-1][:limit]

    @override
    async def delivery(self, delivery: str) -> Delivery | None:
        return self._rows.get(delivery)

    @override
    async def attempts(self, delivery: str) -> list[Attempt]:
        found = [each for each in self._attempts.values() if each.delivery == delivery]
        return sorted(found, key=lambda each: each.id)

    @override
    async def add_attempt(self, attempt: Attempt) -> None:
        self._attempts.setdefault(attempt.id, attempt)

    @override
    async def count(self, wanted: DeliveryFilter) -> int:
        return len(self._rows.find(wanted))

    @override
    async def redeliver(
        self, delivery: str, *, trigger: Trigger, at: float, under_way: bool = False, retries: bool = True
    ) -> Delivery:
        found = self._rows.get(delivery)
        if found is None:
            raise KeyError(delivery)
        if under_way:
            raise Conflict(f"an attempt of {delivery} is under way")
        if not self._can_be_sent(found):
            raise Conflict(f"the body of {found.message} or the endpoint {found.endpoint} is gone")
        return self._rows.put(new_round(found, trigger, at, retries=retries))

    @override
    async def cancel(self, wanted: DeliveryFilter) -> int:
        states = {*_WAITING, DeliveryState.DEAD} & set(wanted.states) if wanted.states else {*_WAITING}
        found = [each for each in self._rows.find(wanted) if each.state in states]
        for each in found:
            self._rows.put(cancelled(each, self._clock()))
        return len(found)

    @override
    async def resume(self, endpoint: str, *, since: float | None) -> int:
        now, resumed = self._clock(), 0
        for each in self._rows.find(DeliveryFilter(endpoint=endpoint, states=(DeliveryState.HELD,))):
            is_wanted = since is not None and each.created_at >= since
            resumed += is_wanted
            pending = replace(each, state=DeliveryState.PENDING, due_at=now)
            self._rows.put(pending if is_wanted else cancelled(each, now))
        return resumed

    @override
    async def replay(
        self,
        operation: Operation,
        wanted: DeliveryFilter,
        *,
        rate: float,
        limit: int | None = None,
        chosen: Chosen | None = None,
        as_new: bool = False,
    ) -> Operation:
        now = self._clock()
        found = [
            each
            for each in self._rows.find(wanted)
            if each.state != DeliveryState.PENDING
            and self._can_be_sent(each)
            and (chosen is None or chosen(self._messages[each.message]))
        ][:limit]
        for place, each in enumerate(found):
            begun = new_round(each, Trigger.REPLAY, now + place / rate)
            webhook_id = renewed_id(each.message, operation.id) if as_new else each.webhook_id
            self._rows.put(replace(begun, operation=operation.id, webhook_id=webhook_id))
        self._operations[operation.id] = replace(operation, total=len(found))
        return await self.operation(operation.id) or operation

    @override
    async def operation(self, operation: str) -> Operation | None:
        kept = self._operations.get(operation)
        return None if kept is None else self._rows.progress_of(kept)

    @override
    async def cancel_operation(self, operation: str) -> bool:
        if operation not in self._operations:
            return False
        self._operations[operation] = replace(self._operations[operation], state="cancelled")
        for row in self._rows:
            if row.delivery.operation == operation and row.delivery.state == DeliveryState.PENDING:
                self._rows.put(cancelled(row.delivery, self._clock()))
        return True

    @override
    async def message(self, message: str) -> OutboundMessage | None:
        return self._messages.get(message)

    @override
    async def list_messages(
        self, wanted: MessageFilter, *, after: MessagePlace | None = None, limit: int = 50
    ) -> list[OutboundMessage]:
        found = [each for each in self._messages.values() if is_wanted(wanted, after, each)]
        found.sort(key=lambda each: (each.accepted_at, each.id), reverse=True)
        return [replace(each, body=None if each.body is None else b"") for each in found[:limit]]

    @override
    async def messages_of_event(self, event_id: str, provider: str = "") -> list[OutboundMessage]:
        found = [each for each in self._messages.values() if each.event_id == event_id]
        wanted = [each for each in found if not provider or each.provider == provider]
        return sorted(wanted, key=lambda each: (each.accepted_at, each.id))

    @override
    async def forget(self, message: str) -> bool:
        if message not in self._messages:
            return False
        self._messages[message] = replace(self._messages[message], body=None, subject="")
        await self.cancel(DeliveryFilter(message=message))
        for each in self._rows.find(DeliveryFilter(message=message)):
            self._rows.put(replace(each, order_key=""))
        for attempt in self._attempts.values():
            if attempt.message == message:
                self._attempts[attempt.id] = replace(attempt, excerpt=b"")
        return True

    @override
    async def prune(self, now: float) -> int:
        changed = self._rows.prune(now)
        wanted = {row.delivery.message for row in self._rows if row.delivery.state in _WAITING}
        for message in list(self._messages.values()):
            if message.accepted_at < now - MESSAGES_KEPT and message.id not in wanted:
                del self._messages[message.id]
        for attempt in list(self._attempts.values()):
            if attempt.at < now - ATTEMPTS_KEPT:
                del self._attempts[attempt.id]
        for operation in list(self._operations.values()):
            if operation.created_at < now - OPERATIONS_KEPT:
                del self._operations[operation.id]
        return changed

    def _can_be_sent(self, delivery: Delivery) -> bool:
        message = self._messages.get(delivery.message)
        return message is not None and message.body is not None and delivery.endpoint in self._endpoints
