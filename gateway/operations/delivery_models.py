"""Deliveries, attempts and messages as pages, API and commands show them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.outbound.labels import title_of
from gateway.outbound.models import Attempt, Delivery, DeliveryState, Endpoint, OutboundMessage, Trigger


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to an endpoint.

    Attributes:
        id: Names it; its order is that of acceptance.
        endpoint: The endpoint's id.
        endpoint_title: What people call the endpoint; empty if it was deleted.
        message: The message's id.
        webhook_id: What the receiver gets as `webhook-id`: the message's id, unless a replay gave it a new one.
        event_id: The event's id; empty once the message is gone, as are the next three.
        type: The event type as routing keys spell it, behind its provider or agent.
        provider: The provider of the event; empty for an event of an agent.
        subject: The event's subject.
        state: What has become of it.
        due_at: When the next attempt may begin, in Unix seconds, if it is pending.
        attempts: Failed attempts of this round.
        round: How often somebody had it delivered anew.
        trigger: Why the next attempt is made, or the last one was.
        created_at: When it was accepted, in Unix seconds.
        ended_at: When it was delivered, died or was cancelled, in Unix seconds; null before.
        status: The HTTP status of the last attempt; null if there was no response.
        outcome: How the last attempt ended; empty before the first.
        operation: The bulk replay that it belongs to; empty if none.
        retries: Whether an attempt of this round that fails is followed by another.
    """

    id: str
    endpoint: str
    endpoint_title: str
    message: str
    webhook_id: str
    event_id: str
    type: str
    provider: str
    subject: str
    state: DeliveryState
    due_at: float
    attempts: int
    round: int
    trigger: Trigger
    created_at: float
    ended_at: float | None
    status: int | None
    outcome: str
    operation: str
    retries: bool


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One request to an endpoint.

    Attributes:
        id: Names it.
        delivery: The delivery's id; empty for a test.
        endpoint: The endpoint's id.
        message: The message's id.
        trigger: Why it was made.
        test: Whether it was a test.
        number: Its number, from 1.
        at: When it began, in Unix seconds.
        outcome: How it ended: `delivered`, or what went wrong.
        status: The HTTP status; null if there was none.
        ms: How long it took, in milliseconds.
        phases: Milliseconds until the end of each phase that was reached: `dns`, `connect`, `tls`, `head`.
        address: The address that was connected to; empty if none.
        excerpt: The first 1 KiB of the response's body. It is untrusted text.
        retry_after: Seconds that the receiver asked to be spared; null if it did not.
        next_at: When the next attempt is due, in Unix seconds; null if there is none.
    """

    id: str
    delivery: str
    endpoint: str
    message: str
    trigger: Trigger
    test: bool
    number: int
    at: float
    outcome: str
    status: int | None
    ms: float
    phases: dict[str, float]
    address: str
    excerpt: str
    retry_after: float | None
    next_at: float | None


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted event.

    Attributes:
        id: Names it; receivers get it as `webhook-id`.
        tenant: Whose event it is.
        key: The routing key, which patterns match.
        event_id: The CloudEvents id.
        source: The CloudEvents source.
        type: The CloudEvents type.
        provider: The provider of an inbound event; empty for an event of an agent.
        subject: The CloudEvents subject.
        sequence: The CloudEvents sequence.
        accepted_at: When it was accepted, in Unix seconds.
        has_data: Whether its body is still kept.
        event: The CloudEvent itself; null for those who may not see payloads, and once it was forgotten.
    """

    id: str
    tenant: str
    key: str
    event_id: str
    source: str
    type: str
    provider: str
    subject: str
    sequence: str
    accepted_at: float
    has_data: bool
    event: Any = None


def delivery_view(
    delivery: Delivery, endpoint: Endpoint | None, message: OutboundMessage | None
) -> DeliveryView:
    """Return a delivery as it is shown, as far as its endpoint and its message are there."""
    return DeliveryView(
        id=delivery.id,
        endpoint=delivery.endpoint,
        endpoint_title=title_of(endpoint),
        message=delivery.message,
        webhook_id=delivery.webhook_id or delivery.message,
        event_id=message.event_id if message else "",
        type=message.key if message else "",
        provider=message.provider if message else "",
        subject=message.subject if message else "",
        state=delivery.state,
        due_at=delivery.due_at,
        attempts=delivery.attempts,
        round=delivery.round,
        trigger=delivery.trigger,
        created_at=delivery.created_at,
        ended_at=delivery.ended_at,
        status=delivery.status,
        outcome=delivery.outcome,
        operation=delivery.operation,
        retries=delivery.retries,
    )


def attempt_view(attempt: Attempt, *, has_excerpt: bool = True) -> AttemptView:
    """Return an attempt as it is shown; without the excerpt of an endpoint whose owner has proved nothing."""
    return AttemptView(
        id=attempt.id,
        delivery=attempt.delivery,
        endpoint=attempt.endpoint,
        message=attempt.message,
        trigger=attempt.trigger,
        test=attempt.trigger is Trigger.TEST,
        number=attempt.number,
        at=attempt.at,
        outcome=attempt.outcome,
        status=attempt.status,
        ms=attempt.ms,
        phases=attempt.phases,
        address=attempt.address,
        excerpt=attempt.excerpt.decode("utf-8", "backslashreplace") if has_excerpt else "",
        retry_after=attempt.retry_after,
        next_at=attempt.next_at,
    )


def message_view(message: OutboundMessage, *, is_whole: bool) -> MessageView:
    """Return a message as it is shown, with its event if it is whole."""
    return MessageView(
        id=message.id,
        tenant=message.tenant,
        key=message.key,
        event_id=message.event_id,
        source=message.source,
        type=message.type,
        provider=message.provider,
        subject=message.subject,
        sequence=message.sequence,
        accepted_at=message.accepted_at,
        has_data=message.body is not None,
        event=msgspec.Raw(message.body) if is_whole and message.body is not None else None,
    )
