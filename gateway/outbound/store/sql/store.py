"""The store over transactions of a database: which functions are one transaction, and which are many steps.

Longer than other modules, since the port has so many methods; each is one call of a function beside this one.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from typing_extensions import override

from gateway.outbound.models import (
    Attempt,
    Delivery,
    Endpoint,
    EndpointState,
    Health,
    Operation,
    OutboundMessage,
    Trigger,
)
from gateway.outbound.sealing import Sealer
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
from gateway.outbound.store.answers import Lease, Share, Waiting
from gateway.outbound.store.sql import accepting, deciding, endpoints, leases, owning, pruning, reading
from gateway.outbound.store.sql.deciding import STEP, Replayed, ReplayPlan
from gateway.outbound.store.sql.transaction import Transaction

T = TypeVar("T")

Operations = Callable[[Transaction], T]
"""What is done in one transaction. It may be run again if the database asks for that."""


class SqlStore(Store):
    """What SQLite and PostgreSQL have in common.

    Args:
        keys: The keys of what is kept encrypted, the newest first.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._sealer = Sealer(keys)

    @abstractmethod
    async def _read(self, operation: Operations[T]) -> T:
        """Read in a transaction, for somebody who waits for the next delivery."""

    @abstractmethod
    async def _browse(self, operation: Operations[T]) -> T:
        """Read in a transaction, for an operator: that may take long, and keeps nobody else waiting."""

    @abstractmethod
    async def _write(self, operation: Operations[T]) -> T:
        """Write in a transaction, and return when it is durable. An operation that raises undoes only itself."""

    @override
    async def now(self) -> float:
        return await self._read(lambda transaction: transaction.now())

    @override
    async def version(self) -> int:
        return await self._read(endpoints.version)

    @override
    async def endpoints(self) -> list[tuple[Endpoint, Health]]:
        return await self._read(lambda transaction: endpoints.load(transaction, self._sealer))

    @override
    async def endpoint(self, endpoint: str) -> tuple[Endpoint, Health] | None:
        if not endpoint:
            return None
        found = await self._read(lambda transaction: endpoints.load(transaction, self._sealer, endpoint))
        return found[0] if found else None

    @override
    async def put_endpoint(self, endpoint: Endpoint, expected: int | None = None) -> Endpoint:
        return await self._write(
            lambda transaction: endpoints.put(transaction, self._sealer, endpoint, expected)
        )

    @override
    async def delete_endpoint(self, endpoint: str) -> bool:
        if not await self._write(lambda transaction: endpoints.mark_gone(transaction, endpoint)):
            return False
        await self._finish_deleting(endpoint)
        return True

    async def _finish_deleting(self, endpoint: str) -> None:
        await self.cancel(DeliveryFilter(endpoint=endpoint))
        await self._write(lambda transaction: endpoints.remove(transaction, endpoint))

    @override
    async def sync_configured(self, endpoints: Sequence[Endpoint]) -> None:
        for name in await self._write(lambda transaction: _sync(transaction, self._sealer, endpoints)):
            await self.delete_endpoint(name)

    @override
    async def put_health(self, health: Health, *, by_person: bool, was: EndpointState | None = None) -> None:
        await self._write(
            lambda transaction: endpoints.put_health(transaction, health, by_person=by_person, was=was)
        )

    @override
    async def put_healths(self, healths: Sequence[tuple[Health, EndpointState]]) -> list[bool]:
        return await self._write(lambda transaction: endpoints.put_healths(transaction, healths))

    @override
    async def rekey(self) -> int:
        return await self._write(lambda transaction: endpoints.reseal(transaction, self._sealer))

    @override
    async def accept(self, accepted: Sequence[tuple[OutboundMessage, Sequence[Delivery]]]) -> list[bool]:
        return await self._write(lambda transaction: accepting.accept(transaction, accepted))

    @override
    async def lease(self, owner: str, duration: float, *, want: int) -> list[Lease]:
        return await self._write(lambda transaction: leases.lease(transaction, owner, duration, want))

    @override
    async def release(self, owner: str, shards: Iterable[int] | None = None) -> None:
        named = None if shards is None else list(shards)
        await self._write(lambda transaction: leases.release(transaction, owner, named))

    @override
    async def owners(self) -> int:
        return await self._read(leases.owners)

    @override
    async def shares(self) -> list[Share]:
        return await self._browse(leases.shares)

    @override
    async def due(
        self, endpoint: str, before: float, limit: int, without: Iterable[str] = ()
    ) -> list[Delivery]:
        unwanted = set(without)
        return await self._read(
            lambda transaction: owning.due(transaction, endpoint, before, limit, unwanted)
        )

    @override
    async def next_due(self, endpoints: Collection[str]) -> dict[str, float]:
        return await self._read(lambda transaction: owning.next_due(transaction, endpoints))

    @override
    async def messages(self, ids: Sequence[str]) -> dict[str, OutboundMessage]:
        return await self._read(lambda transaction: owning.messages(transaction, ids))

    @override
    async def record(self, records: Sequence[Record]) -> list[bool]:
        return await self._write(lambda transaction: owning.record(transaction, records))

    @override
    async def waiting(
        self, endpoints: Sequence[str], *, max_counted: int = MAX_COUNTED
    ) -> dict[str, Waiting]:
        found = await self._browse(lambda transaction: reading.waiting(transaction, endpoints, max_counted))
        return {each: found.get(each, Waiting()) for each in endpoints}

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
        return await self._browse(
            lambda transaction: reading.deliveries(
                transaction, wanted, limit, before=before, after=after, oldest_first=oldest_first
            )
        )

    @override
    async def delivery(self, delivery: str) -> Delivery | None:
        return await self._browse(lambda transaction: reading.delivery(transaction, delivery))

    @override
    async def attempts(self, delivery: str) -> list[Attempt]:
        return await self._browse(lambda transaction: reading.attempts(transaction, delivery))

    @override
    async def add_attempt(self, attempt: Attempt) -> None:
        def add(transaction: Transaction) -> None:
            transaction.make_room([attempt.id])
            owning.add_attempts(transaction, [attempt], {attempt.message})

        await self._write(add)

    @override
    async def count(self, wanted: DeliveryFilter) -> int:
        return await self._browse(lambda transaction: reading.count(transaction, wanted))

    @override
    async def redeliver(
        self, delivery: str, *, trigger: Trigger, at: float, under_way: bool = False, retries: bool = True
    ) -> Delivery:
        if under_way:
            raise Conflict(f"an attempt of {delivery} is under way")
        return await self._write(
            lambda transaction: deciding.redeliver(transaction, delivery, trigger, at, retries=retries)
        )

    @override
    async def cancel(self, wanted: DeliveryFilter) -> int:
        return await self._in_steps(lambda transaction: deciding.cancel(transaction, wanted))

    @override
    async def resume(self, endpoint: str, *, since: float | None) -> int:
        resumed, found = 0, STEP
        while found >= STEP:
            count, found = await self._write(
                lambda transaction: deciding.resume(transaction, endpoint, since)
            )
            resumed += count
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
        plan = ReplayPlan(operation.id, wanted, rate, limit, chosen, as_new)
        began_at = await self._write(lambda transaction: deciding.begin_operation(transaction, operation))
        so_far = Replayed()
        while not so_far.is_over:
            so_far = await self._write(
                lambda transaction, so_far=so_far: deciding.replay(  # type: ignore[misc]  # bound at once
                    transaction, plan, so_far, began_at
                )
            )
        return await self.operation(operation.id) or operation

    @override
    async def operation(self, operation: str) -> Operation | None:
        return await self._browse(lambda transaction: reading.operation(transaction, operation))

    @override
    async def cancel_operation(self, operation: str) -> bool:
        is_found = await self._write(lambda transaction: deciding.mark_cancelled(transaction, operation))
        await self._in_steps(lambda transaction: deciding.cancel_operation(transaction, operation))
        return is_found

    @override
    async def message(self, message: str) -> OutboundMessage | None:
        return (await self.messages([message])).get(message)

    @override
    async def list_messages(
        self, wanted: MessageFilter, *, after: MessagePlace | None = None, limit: int = 50
    ) -> list[OutboundMessage]:
        return await self._browse(
            lambda transaction: reading.list_messages(transaction, wanted, after, limit)
        )

    @override
    async def messages_of_event(self, event_id: str, provider: str = "") -> list[OutboundMessage]:
        return await self._browse(
            lambda transaction: reading.messages_of_event(transaction, event_id, provider)
        )

    @override
    async def forget(self, message: str) -> bool:
        return await self._write(lambda transaction: deciding.forget(transaction, message))

    @override
    async def prune(self, now: float) -> int:
        for name in await self._read(endpoints.gone):  # a process ended while it deleted them
            await self._finish_deleting(name)
        changed = await self._in_steps(
            lambda transaction: pruning.end_held(transaction, now), is_patient=True
        )
        after, is_over = "", False
        while not is_over:
            count, after = await self._write_patiently(
                lambda transaction, after=after: pruning.delete_ended(transaction, now, after)  # type: ignore[misc]  # bound at once
            )
            changed, is_over = changed + count, not after
        await self._in_steps(lambda transaction: pruning.delete_messages(transaction, now), is_patient=True)
        await self._in_steps(lambda transaction: pruning.delete_attempts(transaction, now), is_patient=True)
        await self._write(lambda transaction: pruning.delete_operations(transaction, now))
        return changed

    async def _in_steps(self, step: Operations[int], *, is_patient: bool = False) -> int:
        """Do a step until it finds nothing more; return the sum. Others write between two steps."""
        total, write = 0, self._write_patiently if is_patient else self._write
        while count := await write(step):
            total += count
        return total

    async def _write_patiently(self, step: Operations[T]) -> T:
        """Do a step for which nobody waits, and then leave the database to others for as long as it took."""
        began_at = time.monotonic()
        result = await self._write(step)
        await asyncio.sleep(time.monotonic() - began_at)
        return result


_sync = endpoints.sync
"""The function under a name that the parameter of a method does not hide."""
