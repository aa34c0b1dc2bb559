"""Deleting what is older than its retention, in steps of bounded size.

Attempts are in partitions by day in PostgreSQL, which are dropped: they are only added to. Deliveries and messages are not. Deleting
a delivery with its message costs the server 44 µs, a fourteenth of what it cost to deliver, and 270 bytes of its log. With
32 partitions, outcomes would take a tenth longer to write, what is due three times as long to find, and a list six times
(2026-11-30). A day could be dropped only once nothing of it waits or has ended of late, and a message would be looked for in
fifteen days instead of one index.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.outbound.ids import first_id
from gateway.outbound.store.retention import (
    ATTEMPTS_KEPT,
    DELIVERIES_KEPT,
    MAX_HELD,
    MESSAGES_KEPT,
    OPERATIONS_KEPT,
)
from gateway.outbound.store.sql import ordering
from gateway.outbound.store.sql.deciding import STEP
from gateway.outbound.store.sql.filters import MAX_ID_LAG
from gateway.outbound.store.sql.ordering import OrderKey
from gateway.outbound.store.sql.transaction import Transaction


class Pruned(NamedTuple):
    """What a step did.

    Attributes:
        changed: The deliveries that ended or went.
        after: The last delivery that was looked at; empty if nothing is left.
    """

    changed: int
    after: str


def end_held(transaction: Transaction, now: float) -> int:
    """Cancel some deliveries that were held too long; return how many."""
    before = now - MAX_HELD
    return transaction.run(
        "UPDATE outbound_deliveries SET state = 'cancelled', ended_at = ?, ready = 0 WHERE state = 'held' AND id IN ("
        "SELECT id FROM outbound_deliveries WHERE lower(state) = 'held' AND created_at < ? AND id < ? ORDER BY id LIMIT ?)",
        now,
        before,
        first_id("dlv", before + MAX_ID_LAG),
        STEP,
    )


def delete_ended(transaction: Transaction, now: float, after: str) -> Pruned:
    """Delete some deliveries that ended long ago, after those that were looked at before."""
    before = now - DELIVERIES_KEPT
    rows = transaction.rows(
        "SELECT id, endpoint, order_key, state, ended_at FROM outbound_deliveries WHERE id > ? AND id < ? "
        "ORDER BY id LIMIT ?",
        after,
        first_id("dlv", before),  # it ended after it was made
        STEP,
    )
    old = [row for row in rows if row[4] is not None and row[4] < before]
    keys = {OrderKey(row[1], row[2]) for row in old if row[2] and row[3] == "dead"}
    ordering.lock(transaction, keys)
    count = transaction.run(
        f"DELETE FROM outbound_deliveries WHERE ended_at < ? AND {transaction.among('id')}",
        before,
        transaction.values(row[0] for row in old),
    )
    ordering.settle(transaction, keys)
    return Pruned(count, rows[-1][0] if len(rows) == STEP else "")


def delete_messages(transaction: Transaction, now: float) -> int:
    """Delete some old messages that nothing waits for; return how many."""
    transaction.lock("messages")
    return transaction.run(
        "DELETE FROM outbound_messages WHERE id IN (SELECT id FROM outbound_messages m WHERE accepted_at < ? "
        "AND NOT EXISTS (SELECT 1 FROM outbound_deliveries d WHERE d.message = m.id AND d.state IN ('pending', 'held')) "
        "ORDER BY accepted_at LIMIT ?)",
        now - MESSAGES_KEPT,
        STEP,
    )


def delete_attempts(transaction: Transaction, now: float) -> int:
    """Delete some old attempts; return how many, or how many partitions."""
    return transaction.drop_attempts(now - ATTEMPTS_KEPT, STEP)


def delete_operations(transaction: Transaction, now: float) -> None:
    """Delete old bulk replays."""
    transaction.run("DELETE FROM outbound_operations WHERE created_at < ?", now - OPERATIONS_KEPT)
