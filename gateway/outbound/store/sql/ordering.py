"""Whose turn it is among the deliveries of an order key.

One pending delivery of a key is ready: the first by sequence and id, unless a dead one holds the key. Whatever adds, ends
or moves deliveries of a key locks it first, and settles it last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gateway.outbound.ids import shard_of
from gateway.outbound.models import Delivery
from gateway.outbound.store.sql.codec import indexed
from gateway.outbound.store.sql.transaction import Transaction

_LOCK = "order"


class OrderKey(NamedTuple):
    """The deliveries of an endpoint that go one after another.

    Attributes:
        endpoint: The endpoint's id.
        key: What they have in common; not empty.
    """

    endpoint: str
    key: str


def keys_of(deliveries: Iterable[Delivery]) -> set[OrderKey]:
    """Return the order keys of deliveries, of those that have one."""
    return {OrderKey(each.endpoint, indexed(each.order_key)) for each in deliveries if each.order_key}


def lock(transaction: Transaction, keys: Iterable[OrderKey]) -> None:
    """Let nobody else change these order keys before the commit.

    The lock is one of a shard, not of a key: a transaction may touch thousands of keys, and locks are few.
    """
    if shards := {shard_of(each.endpoint) for each in keys}:
        transaction.lock(_LOCK, shards)


def settle(transaction: Transaction, keys: Iterable[OrderKey]) -> None:
    """Make the first of each order key ready, and no other."""
    wanted = sorted(set(keys))
    if not wanted:
        return
    holding = holding_endpoints(transaction, {each.endpoint for each in wanted})
    for each in wanted:
        first = "" if each.endpoint in holding and _is_held(transaction, each) else _first(transaction, each)
        transaction.run(
            "UPDATE outbound_deliveries SET ready = 0 WHERE endpoint = ? AND order_key = ? AND ready = 1 "
            "AND order_key <> '' AND id <> ?",
            *each,
            first,
        )
        if first:
            transaction.run("UPDATE outbound_deliveries SET ready = 1 WHERE id = ? AND ready = 0", first)


def holding_endpoints(transaction: Transaction, endpoints: Iterable[str]) -> set[str]:
    """Return those of the endpoints whose order keys are held by dead deliveries."""
    rows = transaction.rows(
        f"SELECT id FROM outbound_endpoints WHERE on_dead = 'hold' AND {transaction.among('id')}",
        transaction.values(endpoints),
    )
    return {name for (name,) in rows}


def held_keys(transaction: Transaction, endpoint: str) -> list[OrderKey]:
    """Return the order keys of an endpoint that have a dead delivery."""
    rows = transaction.rows(
        "SELECT DISTINCT order_key FROM outbound_deliveries WHERE endpoint = ? AND state = 'dead' AND order_key <> ''",
        endpoint,
    )
    return [OrderKey(endpoint, key) for (key,) in rows]


def _is_held(transaction: Transaction, key: OrderKey) -> bool:
    return bool(
        transaction.rows(
            "SELECT 1 FROM outbound_deliveries WHERE endpoint = ? AND order_key = ? AND state = 'dead' "
            "AND order_key <> '' LIMIT 1",
            *key,
        )
    )


def _first(transaction: Transaction, key: OrderKey) -> str:
    rows = transaction.rows(
        "SELECT id FROM outbound_deliveries WHERE endpoint = ? AND order_key = ? AND state = 'pending' "
        "AND order_key <> '' ORDER BY sequence, id LIMIT 1",
        *key,
    )
    return rows[0][0] if rows else ""
