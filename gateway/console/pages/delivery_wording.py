"""Endpoints, deliveries and attempts in words and tones."""

from __future__ import annotations

from gateway.console.pages.formatting import ago, milliseconds, plural
from gateway.operations.delivery_models import AttemptView, DeliveryView
from gateway.operations.endpoint_models import EndpointView
from gateway.outbound.models import DeliveryState, EndpointState
from gateway.outbound.outcomes import Outcome

_TONES = {
    DeliveryState.PENDING: "info",
    DeliveryState.HELD: "warn",
    DeliveryState.DELIVERED: "good",
    DeliveryState.DEAD: "bad",
    DeliveryState.CANCELLED: "quiet",
}

_REASONS = {
    "manual": "Somebody has disabled it. What it would get is held.",
    "gone": "It answered 410 Gone, and is not asked again. What it would get is held.",
    "asked": "It asked not to be sent anything. What it would get is held.",
    "failing": "It took nothing for three days. What it would get is held.",
    "unverified": "It is to be verified first: its owner has to prove that they want requests.",
}
"""Why an endpoint is disabled."""

_OUTCOMES = {
    Outcome.DELIVERED: "delivered",
    Outcome.STATUS: "refused",
    Outcome.REDIRECT: "redirected, which is not followed",
    Outcome.ADDRESS_REFUSED: "not sent: endpoints must not have this address",
    Outcome.DNS: "the name has no address",
    Outcome.CONNECT: "no connection",
    Outcome.RESET: "the connection broke",
    Outcome.TLS_EXPIRED: "the certificate has expired",
    Outcome.TLS_NAME: "the certificate is for another name",
    Outcome.TLS_UNTRUSTED: "the certificate is not trusted",
    Outcome.TLS: "TLS failed",
    Outcome.TIMEOUT_DNS: "no answer from the name server in time",
    Outcome.TIMEOUT_CONNECT: "no connection in time",
    Outcome.TIMEOUT_TLS: "no TLS in time",
    Outcome.TIMEOUT_HEAD: "no answer in time",
    Outcome.PROTOCOL: "the answer is no HTTP",
    Outcome.INTERRUPTED: "interrupted: the gateway was ended",
    Outcome.FORMAT: "not sent: the event has no body of the wanted format",
}
"""How an attempt ended."""


def endpoint_words(endpoint: EndpointView) -> tuple[str, str]:
    """Return tone and word of how an endpoint is."""
    if endpoint.state is EndpointState.DISABLED:
        return "bad", "disabled"
    if endpoint.state is EndpointState.PAUSED:
        return "warn", "paused"
    if endpoint.circuit == "open":
        return "bad", "failing"
    if endpoint.failures or endpoint.circuit == "half_open":
        return "warn", "unsteady"
    return ("good", "well") if endpoint.succeeded_at is not None else ("quiet", "enabled")


def sentence_of(endpoint: EndpointView, now: float) -> str:
    """Return how an endpoint is, as a sentence."""
    if endpoint.state is EndpointState.DISABLED:
        return _REASONS.get(endpoint.reason, "It is disabled. What it would get is held.")
    if endpoint.state is EndpointState.PAUSED:
        return "Somebody has paused it. What it would get waits until it is enabled again."
    if endpoint.circuit == "open" and endpoint.closed_until is not None:
        failures = f"{plural(endpoint.failures, 'attempt')} in a row failed. " if endpoint.failures else ""
        return f"{failures}Nothing is sent for a while; the next attempt is made {ago(endpoint.closed_until, now)}."
    if endpoint.failures:
        return f"{plural(endpoint.failures, 'attempt')} in a row failed. Each is made again, later and later."
    if endpoint.succeeded_at is None:
        return "Nothing was sent to it yet."
    return f"It took the last event {ago(endpoint.succeeded_at, now)}."


def patterns_of(endpoint: EndpointView) -> str:
    """Return the first patterns of an endpoint."""
    found = [pattern for each in endpoint.subscriptions for pattern in each.events]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def delivery_tone(delivery: DeliveryView) -> str:
    """Return the tone of a delivery's state."""
    return _TONES[delivery.state]


def outcome_words(outcome: str, status: int | None) -> str:
    """Return how an attempt ended, in words."""
    try:
        words = _OUTCOMES[Outcome(outcome)]
    except ValueError:
        words = outcome.replace("_", " ")
    return words if status is None else f"{status} {words}"


def result_words(delivery: DeliveryView) -> str:
    """Return how the last attempt of a delivery ended."""
    return outcome_words(delivery.outcome, delivery.status) if delivery.outcome else "none yet"


def attempt_words(attempt: AttemptView) -> str:
    """Return how an attempt ended, and how long it took."""
    words = outcome_words(attempt.outcome, attempt.status)
    return f"{words[:1].upper()}{words[1:]}, in {milliseconds(attempt.ms)}"


def delivery_sentence(delivery: DeliveryView, now: float) -> str:
    """Return what has become of a delivery, as a sentence."""
    last = f" The last attempt: {result_words(delivery)}." if delivery.outcome else ""
    match delivery.state:
        case DeliveryState.DELIVERED:
            at = delivery.created_at if delivery.ended_at is None else delivery.ended_at
            return f"The endpoint took it {ago(at, now)}."
        case DeliveryState.PENDING:
            when = "now" if delivery.due_at <= now else ago(delivery.due_at, now)
            return f"The next attempt is due {when}.{last}"
        case DeliveryState.HELD:
            return "It is held, because the endpoint was disabled or had too much waiting. Enabling the endpoint decides."
        case DeliveryState.DEAD:
            return f"{plural(delivery.attempts, 'attempt')} failed, and no further one is made.{last}"
        case DeliveryState.CANCELLED:
            return f"It was cancelled.{last}"


def outcomes() -> list[str]:
    """Return how attempts can end."""
    return [str(each) for each in Outcome]
