"""Tell journal, metrics and log what attempts did.

With the journal, one timeline has the way in, the workers and the way out. The log has ids, types, outcome words and times,
and nothing of a URL, a body or a header.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import structlog

from gateway.journal.entry import MAX_DETAIL, MAX_TEXT, Entry, Kind, cut
from gateway.journal.reports.sender import Reports
from gateway.observability.outbound_counters import OutboundMetrics
from gateway.outbound.labels import label_of
from gateway.outbound.models import Attempt, Delivery, DeliveryState, Endpoint, Health, OutboundMessage
from gateway.outbound.notices import Notice
from gateway.outbound.outcomes import Outcome

_MAX_NAMED = 5
"""Endpoints that a line names; an event may be held for thousands."""

log = structlog.get_logger()


class Reporter:
    """Reports what the way out does.

    Args:
        metrics: Counts it.
        reports: Takes it to the journal; None if there is no journal.
    """

    def __init__(self, metrics: OutboundMetrics, reports: Reports | None) -> None:
        self._metrics = metrics
        self._reports = reports
        self._actor = f"{reports.gateway}:{os.getpid()}" if reports else ""

    def accepted(self, accepted: Sequence[tuple[OutboundMessage, Sequence[Delivery]]]) -> None:
        """Report events that are new."""
        for message, deliveries in accepted:
            self._metrics.count(message.tenant, "accepted")
            held = [each.endpoint for each in deliveries if each.state is DeliveryState.HELD]
            if held:
                self._metrics.count(message.tenant, "held", len(held))
                log.info(
                    "deliveries held",
                    message=message.id,
                    type=message.type,
                    deliveries=len(held),
                    endpoints=held[:_MAX_NAMED],
                )

    def attempted(
        self,
        endpoint: Endpoint,
        message: OutboundMessage,
        delivery: Delivery,
        attempt: Attempt,
        cause: str = "",
    ) -> None:
        """Report the end of an attempt.

        Args:
            endpoint: The endpoint.
            message: The event.
            delivery: The delivery as it is from now on.
            attempt: The attempt.
            cause: More about a failure, which has nothing of the response; may be empty.
        """
        is_delivered = attempt.outcome == Outcome.DELIVERED
        self._metrics.observe(attempt.phases, attempt.ms)
        self._metrics.count(endpoint.tenant, "delivered" if is_delivered else attempt.outcome)
        line = log.bind(
            delivery=delivery.id,
            endpoint=endpoint.id,
            message=message.id,
            type=message.type,
            attempt=attempt.number,
            status=attempt.status,
            ms=round(attempt.ms, 1),
        )
        if is_delivered:
            line.info("delivered")
        elif delivery.state is DeliveryState.DEAD:
            self._metrics.count(endpoint.tenant, "dead")
            line.warning("delivery dead", outcome=attempt.outcome, cause=cause or None)
        else:
            retry_in = None if attempt.next_at is None else _delay_of(attempt, attempt.next_at)
            line.info("delivery failed", outcome=attempt.outcome, cause=cause or None, retry_in=retry_in)
        if self._reports:
            self._reports.send(self._entry_of(endpoint, message, delivery, attempt))

    def behaved(self, endpoint: Endpoint, before: Health, after: Health, now: float) -> None:
        """Report that an attempt has opened the circuit of an endpoint, or closed it."""
        if after.openings > before.openings:
            seconds = round(max((after.closed_until or now) - now, 0.0), 1)
            log.info("circuit opened", endpoint=endpoint.id, failures=after.failures, seconds=seconds)
        elif before.openings and not after.openings:
            log.info("circuit closed", endpoint=endpoint.id)

    def noticed(self, endpoint: Endpoint, notice: Notice, reason: str) -> None:
        """Report that an endpoint is failing, slow, disabled or recovered."""
        told = log.bind(
            endpoint=endpoint.id, tenant=endpoint.tenant, notice=notice.value, reason=reason or None
        )
        if notice is Notice.RECOVERED:
            told.info("endpoint notice")
        else:
            told.warning("endpoint notice")
        if self._reports:
            reports = self._reports
            reports.send(
                Entry(
                    reports.next_id(),
                    Kind.ACTION,
                    f"endpoint_{notice.value}",
                    reason,
                    queue=label_of(endpoint),
                    gateway=reports.gateway,
                    actor=self._actor,
                )
            )

    def _entry_of(
        self, endpoint: Endpoint, message: OutboundMessage, delivery: Delivery, attempt: Attempt
    ) -> Entry:
        assert self._reports  # noqa: S101 -- the caller has looked
        is_delivered = attempt.outcome == Outcome.DELIVERED
        outcome = (
            "delivered" if is_delivered else "dead" if delivery.state is DeliveryState.DEAD else "retried"
        )
        _, _, event_type = message.key.partition(".")
        detail = ""
        if not is_delivered and attempt.next_at is not None:
            detail = f"retry in {_delay_of(attempt, attempt.next_at):.0f} s"
        return Entry(
            self._reports.next_id(),
            Kind.DELIVERED,
            outcome,
            "" if is_delivered else attempt.outcome,
            message.provider or message.key.partition(".")[0],
            cut(event_type, MAX_TEXT),
            cut(message.event_id, MAX_TEXT),
            cut(message.subject, MAX_TEXT),
            queue=label_of(endpoint),
            gateway=self._reports.gateway,
            actor=self._actor,
            status=attempt.status,
            ms=round(attempt.ms, 1),
            attempt=attempt.number,
            detail=cut(detail, MAX_DETAIL),
            trace=message.traceparent[3:35],
        )


def _delay_of(attempt: Attempt, next_at: float) -> float:
    """Return the seconds from an attempt to the next one."""
    return round(max(next_at - attempt.at, 0.0), 1)
