"""The metrics, all of them, by name. Labels come from closed sets only: the configuration and our own enums."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.answers import OUTCOMES
from providers.rejections import SIGNATURE_FAULTS

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds

UNKNOWN_PROVIDER = ""
"""The label of requests to a path that names no configured provider."""


class Metrics:
    """All metrics of one gateway.

    Args:
        unconfirmed: tells how many messages wait for their confirm.
    """

    def __init__(self, unconfirmed: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "webhook_requests", "Requests by provider and outcome.", ["provider", "outcome"], registry=self._registry
        )
        self.latency = Histogram(
            "webhook_request_duration_seconds",
            "Time from the complete head of a request to its answer.",
            ["provider"],
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self.signature_failures = Counter(
            "webhook_signature_failures",
            "Refused signatures by provider and precise reason.",
            ["provider", "reason"],
            registry=self._registry,
        )
        self.secret_slots = Counter(
            "webhook_secret_slot_matches",
            "Verified requests by the position of the secret that matched, from 0.",
            ["provider", "slot"],
            registry=self._registry,
        )
        self.unchecked = Counter(
            "webhook_dedupe_unchecked",
            "Events published without a claim, because the claim store did not answer.",
            ["provider"],
            registry=self._registry,
        )
        self.commit_failures = Counter(
            "webhook_claim_commit_failures",
            "Claims of published events that could not be marked as done; a repetition may be published again.",
            ["provider"],
            registry=self._registry,
        )
        Gauge(
            "webhook_publishes_unconfirmed", "Messages that wait for the broker's confirm.", registry=self._registry
        ).set_function(unconfirmed)

    def of_provider(self, provider: str, secret_count: int) -> ProviderMetrics:
        """The metrics of one provider, every label value looked up once."""
        return ProviderMetrics(self, provider, secret_count)

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)


class ProviderMetrics:
    """The metrics of one provider."""

    def __init__(self, metrics: Metrics, provider: str, secret_count: int) -> None:
        self.outcomes = {outcome: metrics.requests.labels(provider, outcome) for outcome in OUTCOMES}
        self.latency = metrics.latency.labels(provider)
        self.signature_failures = {fault: metrics.signature_failures.labels(provider, fault) for fault in SIGNATURE_FAULTS}
        self.secret_slots = [metrics.secret_slots.labels(provider, str(slot)) for slot in range(secret_count)]
        self.unchecked = metrics.unchecked.labels(provider)
        self.commit_failures = metrics.commit_failures.labels(provider)
