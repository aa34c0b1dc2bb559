"""Which process owns which shard."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.outbound.store.answers import Lease, Share
from gateway.outbound.store.sql.transaction import Transaction

_OWNERS_KEPT = 86_400.0
"""Seconds after which a process that is gone is forgotten."""


def lease(transaction: Transaction, owner: str, duration: float, want: int) -> list[Lease]:
    """Do what :meth:`gateway.outbound.store.Store.lease` says."""
    transaction.lock("leases")
    now = transaction.now()
    until = now + duration
    transaction.run(
        "INSERT INTO outbound_owners VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET until = excluded.until",
        owner,
        until,
    )
    transaction.run("DELETE FROM outbound_owners WHERE until < ?", now - _OWNERS_KEPT)
    shards = transaction.rows("SELECT shard, owner, epoch, until FROM outbound_shards ORDER BY shard")
    mine = [(shard, epoch) for shard, name, epoch, _ in shards if name == owner]
    kept, given_up = mine[:want], mine[want:]
    free = [(shard, epoch + 1) for shard, name, epoch, ends_at in shards if name != owner and ends_at <= now]
    taken = free[: want - len(kept)]
    for shard, _ in given_up:
        _give_up(transaction, owner, shard)
    for shard, epoch in (*kept, *taken):
        transaction.run(
            "UPDATE outbound_shards SET owner = ?, epoch = ?, until = ? WHERE shard = ?",
            owner,
            epoch,
            until,
            shard,
        )
    return sorted(Lease(shard, epoch, until) for shard, epoch in (*kept, *taken))


def release(transaction: Transaction, owner: str, shards: Iterable[int] | None) -> None:
    """Do what :meth:`gateway.outbound.store.Store.release` says."""
    transaction.lock("leases")
    if shards is None:
        transaction.run("UPDATE outbound_shards SET owner = '', until = 0 WHERE owner = ?", owner)
        transaction.run("DELETE FROM outbound_owners WHERE owner = ?", owner)
    else:
        for shard in shards:
            _give_up(transaction, owner, shard)


def owners(transaction: Transaction) -> int:
    """Do what :meth:`gateway.outbound.store.Store.owners` says."""
    ((count,),) = transaction.rows("SELECT count(*) FROM outbound_owners WHERE until > ?", transaction.now())
    return int(count)


def shares(transaction: Transaction) -> list[Share]:
    """Do what :meth:`gateway.outbound.store.Store.shares` says."""
    rows = transaction.rows(
        "SELECT owner, count(*), min(until) FROM outbound_shards WHERE owner <> '' AND until > ? GROUP BY owner ORDER BY owner",
        transaction.now(),
    )
    return [Share(owner, int(count), until) for owner, count, until in rows]


def _give_up(transaction: Transaction, owner: str, shard: int) -> None:
    transaction.run(
        "UPDATE outbound_shards SET owner = '', until = 0 WHERE shard = ? AND owner = ?", shard, owner
    )
