"""Endpoints and their health. What is secret stands in rows of its own, each encrypted for its endpoint and its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.outbound.models import Endpoint, EndpointState, Health
from gateway.outbound.sealing import Sealer
from gateway.outbound.store import Conflict
from gateway.outbound.store.changes import configured_changes
from gateway.outbound.store.sql import ordering
from gateway.outbound.store.sql.transaction import Transaction

_HEADERS = "headers"
_PRIVATE_KEY = "private_key"
"""Names of sealed values beside the ids of secrets, which begin with `sec_`."""

_endpoints = msgspec.json.Decoder(Endpoint)
_healths = msgspec.json.Decoder(Health)
_headers = msgspec.json.Decoder(dict[str, str])


def version(transaction: Transaction) -> int:
    """Do what :meth:`gateway.outbound.store.Store.version` says."""
    ((number,),) = transaction.rows("SELECT version FROM outbound_state WHERE id = 1")
    return int(number)


def load(transaction: Transaction, sealer: Sealer, endpoint: str = "") -> list[tuple[Endpoint, Health]]:
    """Return all endpoints, or one if it is there, the oldest first."""
    rows = transaction.rows(
        "SELECT e.id, e.version, e.document, e.health, s.name, s.value FROM outbound_endpoints e "
        "LEFT JOIN outbound_sealed s ON s.endpoint = e.id WHERE e.is_gone = 0 AND (? = '' OR e.id = ?) "
        "ORDER BY e.created_at, e.id",
        endpoint,
        endpoint,
    )
    found: dict[str, tuple[int, bytes, bytes]] = {}
    values: dict[str, dict[str, bytes]] = {}
    for id_, number, document, health, name, value in rows:
        found[id_] = number, document, health
        if name is not None:
            values.setdefault(id_, {})[name] = sealer.open(value, id_, name)
    return [
        (_opened(_endpoints.decode(document), number, values.get(id_, {})), _healths.decode(health))
        for id_, (number, document, health) in found.items()
    ]


def put(transaction: Transaction, sealer: Sealer, endpoint: Endpoint, expected: int | None) -> Endpoint:
    """Do what :meth:`gateway.outbound.store.Store.put_endpoint` says."""
    transaction.lock("endpoints")
    rows = transaction.rows(
        "SELECT version, is_gone, on_dead FROM outbound_endpoints WHERE id = ?", endpoint.id
    )
    known, is_gone, on_dead = rows[0] if rows else (0, 0, endpoint.on_dead)
    if expected not in {None, 0 if is_gone else known}:
        raise Conflict(f"{endpoint.id} has version {0 if is_gone else known}")
    kept = replace(endpoint, version=1 if is_gone else known + 1)
    if is_gone or not rows:
        transaction.run("DELETE FROM outbound_endpoints WHERE id = ?", endpoint.id)
        _insert(transaction, kept)
    else:
        transaction.run(
            "UPDATE outbound_endpoints SET created_at = ?, tenant = ?, on_dead = ?, is_configured = ?, version = ?, "
            "document = ? WHERE id = ?",
            kept.created_at,
            kept.tenant,
            kept.on_dead,
            int(kept.is_configured),
            kept.version,
            _document(kept),
            kept.id,
        )
    transaction.run("DELETE FROM outbound_sealed WHERE endpoint = ?", endpoint.id)
    for name, value in _secret_values(endpoint).items():
        transaction.run(
            "INSERT INTO outbound_sealed VALUES (?, ?, ?)",
            endpoint.id,
            name,
            sealer.seal(value, endpoint.id, name),
        )
    if on_dead != endpoint.on_dead:
        keys = ordering.held_keys(transaction, endpoint.id)
        ordering.lock(transaction, keys)
        ordering.settle(transaction, keys)
    _count(transaction)
    return kept


def mark_gone(transaction: Transaction, endpoint: str) -> bool:
    """Begin to delete an endpoint: nothing is accepted for it any more. Return whether it was there."""
    transaction.lock("endpoints")
    is_found = transaction.run(
        "UPDATE outbound_endpoints SET is_gone = 1 WHERE id = ? AND is_gone = 0", endpoint
    )
    if is_found:
        transaction.run("DELETE FROM outbound_sealed WHERE endpoint = ?", endpoint)
        _count(transaction)
    return bool(is_found)


def gone(transaction: Transaction) -> list[str]:
    """Return the endpoints whose deletion was begun."""
    return [name for (name,) in transaction.rows("SELECT id FROM outbound_endpoints WHERE is_gone = 1")]


def remove(transaction: Transaction, endpoint: str) -> None:
    """End the deletion of an endpoint."""
    transaction.lock("endpoints")
    transaction.run("DELETE FROM outbound_endpoints WHERE id = ? AND is_gone = 1", endpoint)


def sync(transaction: Transaction, sealer: Sealer, configured: Sequence[Endpoint]) -> list[str]:
    """Add and change what the configuration has; return the endpoints that are to be deleted."""
    transaction.lock("endpoints")
    kept = [endpoint for endpoint, _ in load(transaction, sealer)]
    changed, gone_ = configured_changes(kept, configured)
    for each in changed:
        put(transaction, sealer, each, None)
    return gone_


def put_health(
    transaction: Transaction, health: Health, *, by_person: bool, was: EndpointState | None
) -> None:
    """Do what :meth:`gateway.outbound.store.Store.put_health` says."""
    rows = transaction.rows(
        f"SELECT state FROM outbound_endpoints WHERE id = ? AND is_gone = 0 {transaction.for_update}",
        health.endpoint,
    )
    if not rows:
        return
    ((state,),) = rows
    if was not in {None, EndpointState(state)}:
        raise Conflict(f"{health.endpoint} is {state}")
    transaction.run(
        "UPDATE outbound_endpoints SET state = ?, health = ? WHERE id = ?",
        health.state.value,
        msgspec.json.encode(health),
        health.endpoint,
    )
    if by_person or health.state != state:
        _count(transaction)


def put_healths(transaction: Transaction, healths: Sequence[tuple[Health, EndpointState]]) -> list[bool]:
    """Do what :meth:`gateway.outbound.store.Store.put_healths` says."""
    states = dict(
        transaction.rows(
            f"SELECT id, state FROM outbound_endpoints WHERE is_gone = 0 AND {transaction.among('id')} "
            f"ORDER BY id {transaction.for_update}",
            transaction.values(health.endpoint for health, _ in healths),
        )
    )
    were = [states.get(health.endpoint, was) == was for health, was in healths]
    changes = [
        health
        for (health, _), as_expected in zip(healths, were, strict=True)
        if as_expected and health.endpoint in states
    ]
    transaction.update(
        "outbound_endpoints",
        ("id", "state", "health"),
        [(each.endpoint, each.state.value, msgspec.json.encode(each)) for each in changes],
    )
    if any(each.state != states[each.endpoint] for each in changes):
        _count(transaction)
    return were


def reseal(transaction: Transaction, sealer: Sealer) -> int:
    """Do what :meth:`gateway.outbound.store.Store.rekey` says."""
    transaction.lock("endpoints")
    rows = transaction.rows("SELECT endpoint, name, value FROM outbound_sealed")
    old = [row for row in rows if not sealer.is_newest(row[2])]
    for endpoint, name, value in old:
        transaction.run(
            "UPDATE outbound_sealed SET value = ? WHERE endpoint = ? AND name = ?",
            sealer.seal(sealer.open(value, endpoint, name), endpoint, name),
            endpoint,
            name,
        )
    return len(old)


def _insert(transaction: Transaction, endpoint: Endpoint) -> None:
    health = Health(endpoint=endpoint.id)
    row: Iterable[Any] = (
        endpoint.id,
        endpoint.created_at,
        endpoint.tenant,
        endpoint.on_dead,
        int(endpoint.is_configured),
        0,
        endpoint.version,
        health.state.value,
        _document(endpoint),
        msgspec.json.encode(health),
    )
    transaction.run("INSERT INTO outbound_endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)


def _count(transaction: Transaction) -> None:
    transaction.run("UPDATE outbound_state SET version = version + 1 WHERE id = 1")


def _document(endpoint: Endpoint) -> bytes:
    """Return an endpoint without what is secret."""
    secrets = tuple(replace(each, value="") for each in endpoint.secrets)
    return msgspec.json.encode(replace(endpoint, secrets=secrets, headers={}, private_key=b""))


def _secret_values(endpoint: Endpoint) -> dict[str, bytes]:
    values = {each.id: each.value.encode() for each in endpoint.secrets}
    if endpoint.headers:
        values[_HEADERS] = msgspec.json.encode(endpoint.headers)
    if endpoint.private_key:
        values[_PRIVATE_KEY] = endpoint.private_key
    return values


def _opened(endpoint: Endpoint, number: int, values: dict[str, bytes]) -> Endpoint:
    return replace(
        endpoint,
        version=number,
        secrets=tuple(replace(each, value=values[each.id].decode()) for each in endpoint.secrets),
        headers=_headers.decode(values[_HEADERS]) if _HEADERS in values else {},
        private_key=values.get(_PRIVATE_KEY, b""),
    )
