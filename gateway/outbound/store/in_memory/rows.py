"""The deliveries of a store in memory, and which of them are next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from gateway.outbound.models import Delivery, DeliveryState, Operation, OutboundMessage, Trigger
from gateway.outbound.store import DeliveryFilter, MessageFilter, MessagePlace
from gateway.outbound.store.answers import Waiting
from gateway.outbound.store.retention import DELIVERIES_KEPT, MAX_HELD
from gateway.transport.topic_patterns import matches


@dataclass
class Row:
    """A delivery, with what is known of its message when that is gone."""

    delivery: Delivery
    tenant: str
    key: str
    event_id: str
    sequence: str

    @property
    def turn(self) -> tuple[str, str]:
        """The place among the deliveries of an order key."""
        return self.sequence, self.delivery.id


class Rows:
    """All deliveries by id, with the pending ones by endpoint and the dead ones by order key."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._pending: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self._dead: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def get(self, delivery: str) -> Delivery | None:
        """Return a delivery, None if it is gone."""
        return self._rows[delivery].delivery if delivery in self._rows else None

    def add(self, row: Row) -> None:
        """Keep a new delivery."""
        self._rows[row.delivery.id] = row
        self.put(row.delivery)

    def put(self, delivery: Delivery) -> Delivery:
        """Replace a delivery."""
        row = self._rows[delivery.id]
        self._drop(row.delivery)
        row.delivery = delivery
        if delivery.state == DeliveryState.PENDING:
            self._pending[delivery.endpoint][delivery.id] = row
        elif delivery.state == DeliveryState.DEAD:
            self._dead[delivery.endpoint, delivery.order_key].add(delivery.id)
        return delivery

    def prune(self, now: float) -> int:
        """Let held deliveries end and forget ended ones that are too old; return how many that were."""
        changed = 0
        for delivery in [row.delivery for row in self]:
            if delivery.state == DeliveryState.HELD and delivery.created_at < now - MAX_HELD:
                self.put(cancelled(delivery, now))
                changed += 1
            elif delivery.ended_at is not None and delivery.ended_at < now - DELIVERIES_KEPT:
                self._drop(self._rows.pop(delivery.id).delivery)
                changed += 1
        return changed

    def _drop(self, old: Delivery) -> None:
        self._pending[old.endpoint].pop(old.id, None)
        self._dead[old.endpoint, old.order_key].discard(old.id)

    def ready(self, endpoint: str, *, is_held_by_dead: bool) -> list[Delivery]:
        """Return the pending deliveries of an endpoint whose turn it is."""
        first: dict[str, Row] = {}
        ready = []
        for row in self._pending[endpoint].values():
            key = row.delivery.order_key
            if not key:
                ready.append(row.delivery)
            elif key not in first or row.turn < first[key].turn:
                first[key] = row
        return ready + [
            row.delivery for key, row in first.items() if not (is_held_by_dead and self._dead[endpoint, key])
        ]

    def find(self, wanted: DeliveryFilter) -> list[Delivery]:
        """Return the deliveries that match, oldest first."""
        found = (row.delivery for row in self._rows.values() if _matches(wanted, row))
        return sorted(found, key=lambda each: each.id)

    def waiting(self, endpoint: str, max_counted: int) -> Waiting:
        """Return what waits for an endpoint, up to so many of each state, but for when the next is due."""
        found = self.find(DeliveryFilter(endpoint=endpoint))
        counts = {state: sum(each.state == state for each in found) for state in DeliveryState}
        return Waiting(
            pending=min(counts[DeliveryState.PENDING], max_counted),
            held=min(counts[DeliveryState.HELD], max_counted),
            dead=min(counts[DeliveryState.DEAD], max_counted),
            oldest=next((each.created_at for each in found if each.state == DeliveryState.PENDING), None),
        )

    def progress_of(self, operation: Operation) -> Operation:
        """Return an operation with what has become of its deliveries."""
        states = [row.delivery.state for row in self if row.delivery.operation == operation.id]
        state = "running" if DeliveryState.PENDING in states else "done"
        return replace(
            operation,
            state="cancelled" if operation.state == "cancelled" else state,
            done=states.count(DeliveryState.DELIVERED),
            failed=states.count(DeliveryState.DEAD),
        )


def new_round(delivery: Delivery, trigger: Trigger, at: float, *, retries: bool = True) -> Delivery:
    """Return a delivery as a new round begins."""
    return replace(
        delivery,
        state=DeliveryState.PENDING,
        due_at=at,
        attempts=0,
        round=delivery.round + 1,
        trigger=trigger,
        ended_at=None,
        operation="",
        retries=retries,
    )


def cancelled(delivery: Delivery, now: float) -> Delivery:
    """Return a delivery as it is once somebody cancelled it."""
    return replace(delivery, state=DeliveryState.CANCELLED, ended_at=now)


def is_wanted(wanted: MessageFilter, after: MessagePlace | None, message: OutboundMessage) -> bool:
    """Return whether a message matches, and was accepted before a place."""
    return (
        (after is None or (message.accepted_at, message.id) < after)
        and wanted.tenant in {"", message.tenant}
        and wanted.event_id in {"", message.event_id}
        and wanted.provider in {"", message.provider}
        and (not wanted.keys or any(matches(pattern, message.key) for pattern in wanted.keys))
        and (wanted.since is None or message.accepted_at >= wanted.since)
        and (wanted.until is None or message.accepted_at < wanted.until)
    )


def _matches(wanted: DeliveryFilter, row: Row) -> bool:
    each = row.delivery
    return (
        wanted.tenant in {"", row.tenant}
        and wanted.endpoint in {"", each.endpoint}
        and wanted.delivery in {"", each.id}
        and wanted.message in {"", each.message}
        and wanted.event_id in {"", row.event_id}
        and (not wanted.states or each.state in wanted.states)
        and (not wanted.keys or any(matches(pattern, row.key) for pattern in wanted.keys))
        and wanted.outcome in {"", each.outcome}
        and wanted.status in {None, each.status}
        and (wanted.since is None or each.created_at >= wanted.since)
        and (wanted.until is None or each.created_at < wanted.until)
    )
