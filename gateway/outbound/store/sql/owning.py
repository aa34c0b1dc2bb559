"""What the owner of an endpoint asks and writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from gateway.outbound.ids import shard_of
from gateway.outbound.models import Attempt, Delivery, DeliveryState, OutboundMessage
from gateway.outbound.store import Record
from gateway.outbound.store.sql import ordering
from gateway.outbound.store.sql.codec import (
    ATTEMPT,
    DELIVERY_COLUMNS,
    MESSAGE_COLUMNS,
    RECORDED,
    attempt_row,
    delivery_of,
    message_of,
    recorded_row,
)
from gateway.outbound.store.sql.transaction import Transaction


def due(
    transaction: Transaction, endpoint: str, before: float, limit: int, without: Iterable[str]
) -> list[Delivery]:
    """Do what :meth:`gateway.outbound.store.Store.due` says."""
    unwanted = set(without)
    rows = transaction.rows(
        f"SELECT {DELIVERY_COLUMNS} FROM outbound_deliveries WHERE endpoint = ? AND ready = 1 AND due_at <= ? "
        "ORDER BY due_at, id LIMIT ?",
        endpoint,
        before,
        limit + len(unwanted),
    )
    return [delivery_of(row) for row in rows if row[0] not in unwanted][:limit]


def next_due(transaction: Transaction, endpoints: Collection[str]) -> dict[str, float]:
    """Do what :meth:`gateway.outbound.store.Store.next_due` says."""
    # From one endpoint in the index to the next: nothing waits for most of them, and they are asked about each second.
    rows = transaction.rows(
        "WITH RECURSIVE waiting (endpoint) AS (SELECT min(endpoint) FROM outbound_deliveries WHERE ready = 1 "
        "UNION ALL SELECT (SELECT min(d.endpoint) FROM outbound_deliveries d WHERE d.ready = 1 "
        "AND d.endpoint > waiting.endpoint) FROM waiting WHERE waiting.endpoint IS NOT NULL) "
        "SELECT endpoint, (SELECT min(d.due_at) FROM outbound_deliveries d WHERE d.endpoint = waiting.endpoint "
        "AND d.ready = 1) FROM waiting WHERE endpoint IS NOT NULL"
    )
    wanted = set(endpoints)
    return {endpoint: moment for endpoint, moment in rows if endpoint in wanted}


def messages(transaction: Transaction, ids: Iterable[str]) -> dict[str, OutboundMessage]:
    """Do what :meth:`gateway.outbound.store.Store.messages` says."""
    rows = transaction.rows(
        f"SELECT {MESSAGE_COLUMNS} FROM outbound_messages WHERE {transaction.among('id')}",
        transaction.values(ids),
    )
    return {row[0]: message_of(row) for row in rows}


def record(transaction: Transaction, records: Sequence[Record]) -> list[bool]:
    """Do what :meth:`gateway.outbound.store.Store.record` says."""
    attempts = [attempt for each in records for attempt in each.attempts]
    transaction.make_room(each.id for each in attempts)
    transaction.lock("leases", shared=True)
    epochs = dict(transaction.rows("SELECT shard, epoch FROM outbound_shards"))
    is_owner = [epochs[shard_of(each.delivery.endpoint)] == each.epoch for each in records]
    changes = {
        each.delivery.id: each.delivery for each, wanted in zip(records, is_owner, strict=True) if wanted
    }
    changed = _change(transaction, changes) if changes else set()
    unchanged = {each.attempt.message for each in records if each.delivery.id not in changed}
    add_attempts(transaction, attempts, unchanged)
    return is_owner


def add_attempts(transaction: Transaction, attempts: Sequence[Attempt], doubtful: Iterable[str]) -> None:
    """Add attempts, without the excerpts of messages that were forgotten.

    Args:
        transaction: A transaction.
        attempts: The attempts.
        doubtful: The messages that may have been forgotten. A delivery of such a message has ended, so that the messages
            of those that an attempt still changed are none.
    """
    forgotten = _forgotten(transaction, doubtful)
    kept = [replace(each, excerpt=b"") if each.message in forgotten else each for each in attempts]
    transaction.insert("outbound_attempts", ATTEMPT, [attempt_row(each) for each in kept])


def _change(transaction: Transaction, changes: dict[str, Delivery]) -> set[str]:
    """Change deliveries that are pending in the same round; return their ids."""
    ordering.lock(transaction, ordering.keys_of(changes.values()))
    ordered = [changes[id_] for id_ in sorted(changes)]  # two processes lock them in one order
    now = 0.0 if all(each.ended_at for each in ordered) else transaction.now()
    changed = transaction.update_pending(
        RECORDED, [recorded_row(each, now) for each in ordered], [each.round for each in ordered]
    )
    ended = (each for each in ordered if each.id in changed and each.state != DeliveryState.PENDING)
    ordering.settle(transaction, ordering.keys_of(ended))
    return changed


def _forgotten(transaction: Transaction, messages_: Iterable[str]) -> set[str]:
    wanted = set(messages_)
    if not wanted:
        return set()
    rows = transaction.rows(
        f"SELECT id FROM outbound_messages WHERE body IS NULL AND {transaction.among('id')}",
        transaction.values(wanted),
    )
    return {name for (name,) in rows}
