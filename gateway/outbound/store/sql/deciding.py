"""What operators decide about deliveries, in steps of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gateway.outbound.ids import renewed_id
from gateway.outbound.models import Delivery, DeliveryState, Operation, Trigger
from gateway.outbound.store import Chosen, Conflict, DeliveryFilter
from gateway.outbound.store.sql import ordering, owning, reading
from gateway.outbound.store.sql.codec import DELIVERY_COLUMNS, delivery_of
from gateway.outbound.store.sql.transaction import Transaction

STEP = 500
"""Deliveries that one transaction changes: so long do others wait."""

_WAITING = (DeliveryState.PENDING, DeliveryState.HELD)

_READ_STEP = 50
"""Deliveries of one transaction that also reads the bodies of their messages."""

_CHANGED = (
    "id",
    "state",
    "due_at",
    "attempts",
    "round",
    "cause",
    "ended_at",
    "operation",
    "retries",
    "webhook_id",
    "ready",
)


class ReplayPlan(NamedTuple):
    """What a bulk replay takes; see :meth:`gateway.outbound.store.Store.replay`.

    Attributes:
        operation: The operation's id.
        wanted: The conditions.
        rate: Deliveries that become due in a second.
        limit: The most deliveries to begin; None for all.
        chosen: A further condition on their messages; None for none.
        as_new: Whether receivers get another `webhook-id`.
    """

    operation: str
    wanted: DeliveryFilter
    rate: float
    limit: int | None = None
    chosen: Chosen | None = None
    as_new: bool = False


class Replayed(NamedTuple):
    """How far a bulk replay has come.

    Attributes:
        after: The last delivery that was looked at.
        begun: The deliveries that were begun so far.
        is_over: Whether nothing is left to look at.
    """

    after: str = ""
    begun: int = 0
    is_over: bool = False


def redeliver(
    transaction: Transaction, delivery: str, trigger: Trigger, at: float, *, retries: bool
) -> Delivery:
    """Do what :meth:`gateway.outbound.store.Store.redeliver` says of a delivery that is not under way."""
    transaction.lock("messages", shared=True)
    found = reading.delivery(transaction, delivery)
    if found is None:
        raise KeyError(delivery)
    ordering.lock(transaction, ordering.keys_of([found]))
    locked = _locked(transaction, [delivery])
    if not locked:
        raise KeyError(delivery)
    (found,) = locked
    if not _sendable(transaction, locked):
        raise Conflict(f"the body of {found.message} or the endpoint {found.endpoint} is gone")
    begun = replace(found, due_at=at, trigger=trigger, operation="", retries=retries)
    _begin_rounds(transaction, [begun])
    ordering.settle(transaction, ordering.keys_of([found]))
    (changed,) = _locked(transaction, [delivery])
    return changed


def cancel(transaction: Transaction, wanted: DeliveryFilter, limit: int = STEP) -> int:
    """Cancel some of the deliveries that match; return how many. Fewer than ``limit`` were found at the end."""
    states = {*_WAITING, DeliveryState.DEAD} & set(wanted.states) if wanted.states else {*_WAITING}
    if not states:
        return 0
    found = reading.deliveries(transaction, wanted._replace(states=tuple(sorted(states))), limit)
    keys = ordering.keys_of(found)
    ordering.lock(transaction, keys)
    count = _cancel(transaction, [each.id for each in found], states)
    ordering.settle(transaction, keys)
    return count


def resume(
    transaction: Transaction, endpoint: str, since: float | None, limit: int = STEP
) -> tuple[int, int]:
    """Resume or cancel some held deliveries; return how many were resumed, and how many were found."""
    held = DeliveryFilter(endpoint=endpoint, states=(DeliveryState.HELD,))
    found = reading.deliveries(transaction, held, limit, oldest_first=True)
    resumed = [each for each in found if since is not None and each.created_at >= since]
    keys = ordering.keys_of(resumed)
    ordering.lock(transaction, keys)
    count = transaction.run(
        "UPDATE outbound_deliveries SET state = 'pending', due_at = ?, ready = CASE WHEN order_key = '' THEN 1 ELSE 0 END "
        f"WHERE state = 'held' AND {transaction.among('id')}",
        transaction.now(),
        transaction.values(each.id for each in resumed),
    )
    left = {each.id for each in found} - {each.id for each in resumed}
    _cancel(transaction, sorted(left), {DeliveryState.HELD})
    ordering.settle(transaction, keys)
    return count, len(found)


def begin_operation(transaction: Transaction, operation: Operation) -> float:
    """Keep a bulk replay, and return when its first delivery is due."""
    transaction.run(
        "INSERT INTO outbound_operations VALUES (?, ?, ?, ?, 0, 0)",
        operation.id,
        operation.endpoint,
        operation.created_at,
        operation.actor,
    )
    return transaction.now()


def replay(transaction: Transaction, plan: ReplayPlan, so_far: Replayed, began_at: float) -> Replayed:
    """Begin new rounds of some of the deliveries that match, after those that were looked at before."""
    states = tuple(each for each in plan.wanted.states or DeliveryState if each != DeliveryState.PENDING)
    if not states:
        return so_far._replace(is_over=True)
    transaction.lock("messages", shared=True)
    step = STEP if plan.chosen is None else _READ_STEP
    found = reading.deliveries(
        transaction, plan.wanted._replace(states=states), step, after=so_far.after, oldest_first=True
    )
    chosen = _chosen(transaction, found, plan.chosen)
    ordering.lock(transaction, ordering.keys_of(chosen))
    unchanged = [each for each in _locked(transaction, [each.id for each in chosen]) if each.state in states]
    left = None if plan.limit is None else plan.limit - so_far.begun
    sendable = _sendable(transaction, unchanged)[:left]
    _begin_rounds(
        transaction,
        [
            replace(
                each,
                due_at=began_at + (so_far.begun + place) / plan.rate,
                trigger=Trigger.REPLAY,
                operation=plan.operation,
                retries=True,
                webhook_id=renewed_id(each.message, plan.operation) if plan.as_new else each.webhook_id,
            )
            for place, each in enumerate(sendable)
        ],
    )
    ordering.settle(transaction, ordering.keys_of(sendable))
    transaction.run(
        "UPDATE outbound_operations SET total = total + ? WHERE id = ?", len(sendable), plan.operation
    )
    is_stopped = transaction.rows(
        "SELECT 1 FROM outbound_operations WHERE id = ? AND is_cancelled = 1", plan.operation
    )
    return Replayed(
        found[-1].id if found else so_far.after,
        so_far.begun + len(sendable),
        is_over=len(found) < step or len(sendable) == left or bool(is_stopped),
    )


def _chosen(transaction: Transaction, found: Sequence[Delivery], chosen: Chosen | None) -> Sequence[Delivery]:
    """Return the deliveries whose message is there and chosen; all if nothing is asked of messages."""
    if chosen is None:
        return found
    messages = owning.messages(transaction, sorted({each.message for each in found}))
    wanted = {name for name, message in messages.items() if chosen(message)}
    return [each for each in found if each.message in wanted]


def mark_cancelled(transaction: Transaction, operation: str) -> bool:
    """Note that a bulk replay is cancelled; return whether it is there."""
    return bool(transaction.run("UPDATE outbound_operations SET is_cancelled = 1 WHERE id = ?", operation))


def cancel_operation(transaction: Transaction, operation: str, limit: int = STEP) -> int:
    """Cancel some pending deliveries of a bulk replay; return how many were found."""
    rows = transaction.rows(
        f"SELECT {DELIVERY_COLUMNS} FROM outbound_deliveries WHERE operation = ? AND operation <> '' "
        "AND state = 'pending' LIMIT ?",
        operation,
        limit,
    )
    found = [delivery_of(row) for row in rows]
    keys = ordering.keys_of(found)
    ordering.lock(transaction, keys)
    unchanged = [
        each.id for each in _locked(transaction, [each.id for each in found]) if each.operation == operation
    ]
    _cancel(transaction, unchanged, {DeliveryState.PENDING})
    ordering.settle(transaction, keys)
    return len(found)


def forget(transaction: Transaction, message: str) -> bool:
    """Do what :meth:`gateway.outbound.store.Store.forget` says."""
    transaction.lock("messages", shared=True)
    found = [
        delivery_of(row)
        for row in transaction.rows(
            f"SELECT {DELIVERY_COLUMNS} FROM outbound_deliveries WHERE message = ? ORDER BY id",
            message,
        )
    ]
    keys = ordering.keys_of(found)
    ordering.lock(transaction, keys)
    is_found = transaction.run("UPDATE outbound_messages SET body = NULL, subject = '' WHERE id = ?", message)
    if not is_found:
        return False
    ids = [each.id for each in found]
    _cancel(transaction, ids, set(_WAITING))
    transaction.run(
        f"UPDATE outbound_deliveries SET order_key = '' WHERE order_key <> '' AND {transaction.among('id')}",
        transaction.values(ids),
    )
    transaction.run(
        f"UPDATE outbound_attempts SET excerpt = ? WHERE {transaction.among('delivery')}",
        b"",
        transaction.values(ids),
    )
    ordering.settle(transaction, keys)
    return True


def _locked(transaction: Transaction, ids: Sequence[str]) -> list[Delivery]:
    """Return deliveries as they are and remain until the commit, oldest first."""
    rows = transaction.rows(
        f"SELECT {DELIVERY_COLUMNS} FROM outbound_deliveries WHERE {transaction.among('id')} "
        f"ORDER BY id {transaction.for_update}",
        transaction.values(ids),
    )
    return [delivery_of(row) for row in rows]


def _sendable(transaction: Transaction, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Return the deliveries whose endpoint, and the body of whose message, is there."""
    bodies = transaction.rows(
        f"SELECT id FROM outbound_messages WHERE body IS NOT NULL AND {transaction.among('id')}",
        transaction.values({each.message for each in deliveries}),
    )
    endpoints = transaction.rows(
        f"SELECT id FROM outbound_endpoints WHERE is_gone = 0 AND {transaction.among('id')}",
        transaction.values({each.endpoint for each in deliveries}),
    )
    with_body, there = {name for (name,) in bodies}, {name for (name,) in endpoints}
    return [each for each in deliveries if each.message in with_body and each.endpoint in there]


def _begin_rounds(transaction: Transaction, begun: Sequence[Delivery]) -> None:
    """Begin a new round of deliveries, with the moment, the trigger and the operation that they have."""
    rows = [
        (
            each.id,
            "pending",
            each.due_at,
            0,
            each.round + 1,
            each.trigger.value,
            None,
            each.operation,
            int(each.retries),
            each.webhook_id,
            int(not each.order_key),
        )
        for each in begun
    ]
    transaction.update("outbound_deliveries", _CHANGED, rows)


def _cancel(transaction: Transaction, ids: Sequence[str], states: Iterable[DeliveryState]) -> int:
    if not ids:
        return 0
    return transaction.run(
        "UPDATE outbound_deliveries SET state = 'cancelled', ended_at = ?, ready = 0 "
        f"WHERE {transaction.among('id')} AND {transaction.among('state')}",
        transaction.now(),
        transaction.values(ids),
        transaction.values(each.value for each in states),
    )
