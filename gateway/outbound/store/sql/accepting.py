"""The way in: messages and their deliveries, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.outbound.models import Delivery, OutboundMessage
from gateway.outbound.store.sql import ordering
from gateway.outbound.store.sql.codec import DELIVERY, MATCHED, MESSAGE, delivery_row, message_row
from gateway.outbound.store.sql.transaction import Transaction


def accept(
    transaction: Transaction, accepted: Sequence[tuple[OutboundMessage, Sequence[Delivery]]]
) -> list[bool]:
    """Do what :meth:`gateway.outbound.store.Store.accept` says."""
    transaction.lock("endpoints", shared=True)
    first: dict[str, int] = {}
    for place, (message, _) in enumerate(accepted):
        first.setdefault(message.id, place)
    # In one order, so that two processes that accept the same messages do not wait for each other in a circle.
    rows = [message_row(accepted[place][0]) for _, place in sorted(first.items())]
    new = transaction.insert_new("outbound_messages", (*MESSAGE, "event"), rows)
    is_new = [message.id in new and first[message.id] == place for place, (message, _) in enumerate(accepted)]
    _add_deliveries(
        transaction,
        [
            (message, each)
            for (message, deliveries), wanted in zip(accepted, is_new, strict=True)
            if wanted
            for each in deliveries
        ],
    )
    return is_new


def _add_deliveries(transaction: Transaction, added: list[tuple[OutboundMessage, Delivery]]) -> None:
    if not added:
        return
    keys = ordering.keys_of(each for _, each in added)
    ordering.lock(transaction, keys)
    tenants = _tenants(transaction, {each.endpoint for _, each in added})
    now = transaction.now() if len(tenants) < len({each.endpoint for _, each in added}) else 0.0
    rows = [
        delivery_row(
            each,
            message,
            tenants.get(each.endpoint, message.tenant),
            is_gone=each.endpoint not in tenants,
            now=now,
        )
        for message, each in added
    ]
    transaction.insert("outbound_deliveries", (*DELIVERY, *MATCHED), rows)
    ordering.settle(transaction, keys)


def _tenants(transaction: Transaction, endpoints: set[str]) -> dict[str, str]:
    """Return the tenants of endpoints that are there."""
    rows = transaction.rows(
        f"SELECT id, tenant FROM outbound_endpoints WHERE is_gone = 0 AND {transaction.among('id')}",
        transaction.values(endpoints),
    )
    return dict(rows)
