"""Rows of the tables: columns, and how they are made of what the way out keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.outbound.models import Attempt, Delivery, DeliveryState, OutboundMessage, Trigger

MESSAGE = (
    "id",
    "tenant",
    "routing_key",
    "event_id",
    "source",
    "type",
    "provider",
    "subject",
    "sequence",
    "traceparent",
    "accepted_at",
    "body",
)
"""The columns of a message; ``event`` follows when one is added."""

DELIVERY = (
    "id",
    "endpoint",
    "message",
    "state",
    "due_at",
    "attempts",
    "round",
    "cause",
    "order_key",
    "created_at",
    "ended_at",
    "status",
    "outcome",
    "made",
    "operation",
    "retries",
    "webhook_id",
)
"""The columns of a delivery; those of :data:`MATCHED` follow when one is added."""

MATCHED = ("tenant", "routing_key", "event", "sequence", "ready")
"""What is kept of the message beside a delivery, so that it is found and ordered without the message."""

RECORDED = ("id", "state", "due_at", "attempts", "cause", "ended_at", "status", "outcome", "made")
"""The columns of a delivery that an attempt changes; ``ready`` besides."""

ATTEMPT = (
    "id",
    "delivery",
    "endpoint",
    "message",
    "cause",
    "number",
    "began_at",
    "outcome",
    "status",
    "ms",
    "phases",
    "address",
    "excerpt",
    "retry_after",
    "next_at",
)
"""The columns of an attempt."""

DELIVERY_COLUMNS = ", ".join(DELIVERY)
MESSAGE_COLUMNS = ", ".join(MESSAGE)
LISTED_MESSAGE_COLUMNS = ", ".join((*MESSAGE[:-1], "CASE WHEN body IS NULL THEN NULL ELSE ? END"))
ATTEMPT_COLUMNS = ", ".join(ATTEMPT)

_MAX_INDEXED = 256
"""The characters of a text in an index, whose rows PostgreSQL limits to a third of a page; of a longer one a digest is kept."""

_MAX_SEQUENCE = 64
"""The characters of a sequence that decide about the order."""

_phases = msgspec.json.Decoder(dict[str, float])


def indexed(text: str) -> str:
    """Return a text as it stands in an index."""
    if len(text) <= _MAX_INDEXED:
        return cleaned(text)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return cleaned(f"{text[: _MAX_INDEXED - len(digest)]}{digest}")


def cleaned(text: str) -> str:
    """Return a text without what PostgreSQL or UTF-8 cannot hold: the NUL, and halves of surrogate pairs.

    Ids and subjects come from others. One of these must not keep the events beside it from being accepted.
    """
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def message_row(message: OutboundMessage) -> tuple[Any, ...]:
    """Return the values of :data:`MESSAGE` and ``event``."""
    return (
        message.id,
        message.tenant,
        cleaned(message.key),
        cleaned(message.event_id),
        cleaned(message.source),
        cleaned(message.type),
        cleaned(message.provider),
        cleaned(message.subject),
        cleaned(message.sequence),
        cleaned(message.traceparent),
        message.accepted_at,
        message.body,
        indexed(message.event_id),
    )


def message_of(row: Sequence[Any]) -> OutboundMessage:
    """Return the message of the values of :data:`MESSAGE`."""
    (id_, tenant, key, event_id, source, type_, provider, subject, sequence, traceparent, at, body) = row
    return OutboundMessage(
        id=id_,
        tenant=tenant,
        key=key,
        event_id=event_id,
        source=source,
        type=type_,
        provider=provider,
        subject=subject,
        sequence=sequence,
        traceparent=traceparent,
        accepted_at=at,
        body=body,
    )


def delivery_row(
    delivery: Delivery, message: OutboundMessage, tenant: str, *, is_gone: bool, now: float
) -> tuple[Any, ...]:
    """Return the values of :data:`DELIVERY` and :data:`MATCHED` of a new delivery.

    Args:
        delivery: The delivery.
        message: Its message.
        tenant: The tenant of its endpoint.
        is_gone: Whether the endpoint is gone, so that it is kept as cancelled.
        now: When it is cancelled then.
    """
    state = DeliveryState.CANCELLED if is_gone else delivery.state
    return (
        delivery.id,
        delivery.endpoint,
        delivery.message,
        state.value,
        delivery.due_at,
        delivery.attempts,
        delivery.round,
        delivery.trigger.value,
        indexed(delivery.order_key),
        delivery.created_at,
        now if is_gone else delivery.ended_at,
        delivery.status,
        delivery.outcome,
        delivery.made,
        delivery.operation,
        int(delivery.retries),
        delivery.webhook_id,
        tenant,
        cleaned(message.key),
        indexed(message.event_id),
        cleaned(message.sequence[:_MAX_SEQUENCE]),
        int(state == DeliveryState.PENDING and not delivery.order_key),
    )


def delivery_of(row: Sequence[Any]) -> Delivery:
    """Return the delivery of the values of :data:`DELIVERY`."""
    (
        id_,
        endpoint,
        message,
        state,
        due_at,
        attempts,
        round_,
        cause,
        key,
        at,
        ended,
        status,
        outcome,
        made,
        op,
        retries,
        webhook_id,
    ) = row
    return Delivery(
        id=id_,
        endpoint=endpoint,
        message=message,
        state=DeliveryState(state),
        due_at=due_at,
        attempts=attempts,
        round=round_,
        trigger=Trigger(cause),
        order_key=key,
        created_at=at,
        ended_at=ended,
        status=status,
        outcome=outcome,
        made=made,
        operation=op,
        retries=bool(retries),
        webhook_id=webhook_id,
    )


def recorded_row(delivery: Delivery, now: float) -> tuple[Any, ...]:
    """Return the values of :data:`RECORDED`."""
    is_waiting = delivery.state in {DeliveryState.PENDING, DeliveryState.HELD}
    return (
        delivery.id,
        delivery.state.value,
        delivery.due_at,
        delivery.attempts,
        delivery.trigger.value,
        None if is_waiting else delivery.ended_at or now,
        delivery.status,
        delivery.outcome,
        delivery.made,
    )


def attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    """Return the values of :data:`ATTEMPT`."""
    return (
        attempt.id,
        attempt.delivery,
        attempt.endpoint,
        attempt.message,
        attempt.trigger.value,
        attempt.number,
        attempt.at,
        str(attempt.outcome),
        attempt.status,
        attempt.ms,
        msgspec.json.encode(attempt.phases).decode(),
        attempt.address,
        attempt.excerpt,
        attempt.retry_after,
        attempt.next_at,
    )


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Return the attempt of the values of :data:`ATTEMPT`."""
    (id_, delivery, endpoint, message, cause, number, at, outcome, status, ms, phases, address, *rest) = row
    excerpt, retry_after, next_at = rest
    return Attempt(
        id=id_,
        delivery=delivery,
        endpoint=endpoint,
        message=message,
        trigger=Trigger(cause),
        number=number,
        at=at,
        outcome=outcome,
        status=status,
        ms=ms,
        phases=_phases.decode(phases),
        address=address,
        excerpt=excerpt,
        retry_after=retry_after,
        next_at=next_at,
    )
