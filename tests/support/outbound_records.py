"""Endpoints, messages, deliveries and attempts for tests of the way out."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

from gateway.outbound.ids import Ids, message_id
from gateway.outbound.models import (
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    OutboundMessage,
    Secret,
    Subscription,
    Trigger,
)
from gateway.outbound.outcomes import Outcome
from gateway.outbound.store import Record

_numbers = itertools.count(1)
_ids: defaultdict[float, Ids] = defaultdict(Ids)


def new_id(prefix: str, at: float) -> str:
    """Return an id of a moment, whatever the moments of other ids were; those of one moment grow."""
    return _ids[at].new(prefix, at)


def an_endpoint(name: str = "shop", **changes: Any) -> Endpoint:
    """Return an endpoint with two secrets and a header."""
    settings: dict[str, Any] = {
        "id": f"ep_{name}",
        "name": name,
        "url": f"https://{name}.example/hooks",
        "subscriptions": (Subscription(events=("stripe.#",)),),
        "secrets": (
            Secret(id="sec_2", value="whsec_of-the-endpoint-new", created_at=20.0),
            Secret(id="sec_1", value="whsec_of-the-endpoint-old", created_at=10.0, expires_at=30.0),
        ),
        "headers": {"X-Api-Key": "header-of-the-endpoint"},
        "created_at": 1.0,
    }
    return Endpoint(**settings | changes)


def a_message(event_id: str = "", *, at: float, **changes: Any) -> OutboundMessage:
    """Return a message of an event, each time another one unless it has an id."""
    event = event_id or f"evt_{next(_numbers)}"
    settings: dict[str, Any] = {
        "id": message_id(changes.get("tenant", "default"), "/stripe", event),
        "key": "stripe.invoice.paid",
        "event_id": event,
        "source": "/stripe",
        "type": "stripe.invoice.paid",
        "provider": "stripe",
        "subject": "in_1",
        "accepted_at": at,
        "body": b'{"id": "' + event.encode("utf-8", "replace") + b'"}',
    }
    return OutboundMessage(**settings | changes)


def a_delivery(message: OutboundMessage, endpoint: str = "ep_shop", **changes: Any) -> Delivery:
    """Return a new delivery of a message, due when it was accepted."""
    settings: dict[str, Any] = {
        "id": new_id("dlv", message.accepted_at),
        "endpoint": endpoint,
        "message": message.id,
        "due_at": message.accepted_at,
        "created_at": message.accepted_at,
    }
    return Delivery(**settings | changes)


def an_attempt(delivery: Delivery, *, at: float, **changes: Any) -> Attempt:
    """Return an attempt that failed with 500."""
    settings: dict[str, Any] = {
        "id": new_id("att", at),
        "delivery": delivery.id,
        "endpoint": delivery.endpoint,
        "message": delivery.message,
        "trigger": Trigger.AUTO,
        "number": delivery.made + 1,
        "at": at,
        "outcome": Outcome.STATUS,
        "status": 500,
        "ms": 12.5,
        "phases": {"connect": 1.5, "head": 11.0},
        "address": "192.0.2.1",
        "excerpt": b"no such invoice \xff\x00",
    }
    return Attempt(**settings | changes)


def a_record(
    delivery: Delivery,
    state: DeliveryState,
    epoch: int,
    *,
    at: float,
    due_at: float | None = None,
    **changes: Any,
) -> Record:
    """Return what an owner records of an attempt after which a delivery has a state."""
    is_success = state is DeliveryState.DELIVERED
    attempt = an_attempt(
        delivery,
        at=at,
        outcome=Outcome.DELIVERED if is_success else Outcome.STATUS,
        status=204 if is_success else 500,
        **changes,
    )
    after = {field: getattr(delivery, field) for field in delivery.__struct_fields__} | {
        "state": state,
        "attempts": delivery.attempts + (not is_success),
        "made": delivery.made + 1,
        "due_at": delivery.due_at if due_at is None else due_at,
        "status": attempt.status,
        "outcome": attempt.outcome,
    }
    return Record(Delivery(**after), attempt, epoch)
