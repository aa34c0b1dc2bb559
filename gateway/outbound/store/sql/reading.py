"""What operators look at: deliveries, attempts, messages, and what waits."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.outbound.models import Attempt, Delivery, Operation, OutboundMessage
from gateway.outbound.store import DeliveryFilter, MessageFilter, MessagePlace
from gateway.outbound.store.answers import Waiting
from gateway.outbound.store.sql.codec import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    LISTED_MESSAGE_COLUMNS,
    MESSAGE_COLUMNS,
    attempt_of,
    cleaned,
    delivery_of,
    indexed,
    message_of,
)
from gateway.outbound.store.sql.filters import conditions, message_condition
from gateway.outbound.store.sql.transaction import Transaction

_COUNT = (
    "(SELECT count(*) FROM (SELECT 1 FROM outbound_deliveries d WHERE d.endpoint = e.id AND d.state = '{}' "
    "LIMIT ?) counted)"
)

_WAITING = (
    f"SELECT e.id, {_COUNT.format('pending')}, {_COUNT.format('held')}, {_COUNT.format('dead')}, "
    "(SELECT d.created_at FROM outbound_deliveries d WHERE d.endpoint = e.id AND d.state = 'pending' ORDER BY d.id LIMIT 1), "
    "(SELECT min(d.due_at) FROM outbound_deliveries d WHERE d.endpoint = e.id AND d.ready = 1) "
    "FROM outbound_endpoints e WHERE "
)


def waiting(transaction: Transaction, endpoints: Iterable[str], max_counted: int) -> dict[str, Waiting]:
    """Return what waits for endpoints; those that are gone are left out."""
    limits = (max_counted,) * 3
    rows = transaction.rows(_WAITING + transaction.among("e.id"), *limits, transaction.values(endpoints))
    return {endpoint: Waiting(*counts) for endpoint, *counts in rows}


def deliveries(
    transaction: Transaction,
    wanted: DeliveryFilter,
    limit: int,
    *,
    before: str = "",
    after: str = "",
    oldest_first: bool = False,
) -> list[Delivery]:
    """Do what :meth:`gateway.outbound.store.Store.deliveries` says."""
    order = "ORDER BY id" if oldest_first else "ORDER BY id DESC"
    branches = conditions(transaction, wanted, before, after)
    if not branches:
        return []
    queries = [
        f"SELECT * FROM (SELECT {DELIVERY_COLUMNS} FROM outbound_deliveries WHERE {each.text} {order} LIMIT ?) found"
        for each in branches
    ]
    parameters = [value for each in branches for value in (*each.parameters, limit)]
    rows = transaction.rows(f"{' UNION ALL '.join(queries)} {order} LIMIT ?", *parameters, limit)
    return [delivery_of(row) for row in rows]


def count(transaction: Transaction, wanted: DeliveryFilter) -> int:
    """Do what :meth:`gateway.outbound.store.Store.count` says."""
    return sum(
        transaction.rows(f"SELECT count(*) FROM outbound_deliveries WHERE {each.text}", *each.parameters)[0][
            0
        ]
        for each in conditions(transaction, wanted)
    )


def delivery(transaction: Transaction, delivery_id: str) -> Delivery | None:
    """Do what :meth:`gateway.outbound.store.Store.delivery` says."""
    found = deliveries(transaction, DeliveryFilter(delivery=delivery_id), 1)
    return found[0] if found else None


def attempts(transaction: Transaction, delivery_id: str) -> list[Attempt]:
    """Do what :meth:`gateway.outbound.store.Store.attempts` says."""
    rows = transaction.rows(
        f"SELECT {ATTEMPT_COLUMNS} FROM outbound_attempts WHERE delivery = ? ORDER BY id",
        delivery_id,
    )
    return [attempt_of(row) for row in rows]


def list_messages(
    transaction: Transaction, wanted: MessageFilter, after: MessagePlace | None, limit: int
) -> list[OutboundMessage]:
    """Do what :meth:`gateway.outbound.store.Store.list_messages` says."""
    condition = message_condition(transaction, wanted, after)
    rows = transaction.rows(
        f"SELECT {LISTED_MESSAGE_COLUMNS} FROM outbound_messages WHERE {condition.text} "
        "ORDER BY accepted_at DESC, id DESC LIMIT ?",
        b"",
        *condition.parameters,
        limit,
    )
    return [message_of(row) for row in rows]


def messages_of_event(transaction: Transaction, event_id: str, provider: str) -> list[OutboundMessage]:
    """Do what :meth:`gateway.outbound.store.Store.messages_of_event` says."""
    rows = transaction.rows(
        f"SELECT {MESSAGE_COLUMNS} FROM outbound_messages WHERE event = ? AND (? = '' OR provider = ?) "
        "ORDER BY accepted_at, id",
        indexed(event_id),
        cleaned(provider),
        cleaned(provider),
    )
    return [message_of(row) for row in rows]


def operation(transaction: Transaction, operation_id: str) -> Operation | None:
    """Do what :meth:`gateway.outbound.store.Store.operation` says."""
    rows = transaction.rows(
        "SELECT id, endpoint, created_at, actor, is_cancelled, total FROM outbound_operations WHERE id = ?",
        operation_id,
    )
    if not rows:
        return None
    id_, endpoint, created_at, actor, is_cancelled, total = rows[0]
    counts = dict(
        transaction.rows(
            "SELECT state, count(*) FROM outbound_deliveries WHERE operation = ? AND operation <> '' GROUP BY state",
            operation_id,
        )
    )
    return Operation(
        id=id_,
        endpoint=endpoint,
        created_at=created_at,
        actor=actor,
        state="cancelled" if is_cancelled else "running" if counts.get("pending") else "done",
        total=total,
        done=counts.get("delivered", 0),
        failed=counts.get("dead", 0),
    )
