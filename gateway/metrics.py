"""The metrics, all of them, by name. Labels come from closed sets only: the configuration and our own enums.

Counting is adding to a plain number, and the numbers become Prometheus' families when they are scraped: the
client library's own counters and histograms take locks and walk their buckets at every request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.answers import OUTCOMES
from providers.rejections import SIGNATURE_FAULTS, SignatureFault

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

UNKNOWN_PROVIDER = ""
"""The label of requests to a path that names no configured provider."""


class ProviderMetrics:
    """The numbers of one provider.

    Attributes:
        outcomes: requests by outcome.
        signature_failures: refused signatures by precise reason.
        secret_slots: verified requests by the position of the secret that matched.
        unchecked: events published without a claim.
        commit_failures: published events whose claim could not be marked as done.
    """

    def __init__(self, secret_count: int) -> None:
        self.outcomes: dict[str, int] = dict.fromkeys(OUTCOMES, 0)
        self.signature_failures: dict[SignatureFault, int] = dict.fromkeys(SIGNATURE_FAULTS, 0)
        self.secret_slots = [0] * secret_count
        self.unchecked = 0
        self.commit_failures = 0
        self._latency = [0] * (len(LATENCY_BUCKETS) + 1)
        self._latency_sum = 0.0

    def observe_latency(self, seconds: float) -> None:
        """Count how long one request took."""
        self._latency[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._latency_sum += seconds

    def note_commit_failure(self) -> None:
        """Count a claim that could not be marked as done."""
        self.commit_failures += 1

    def latency(self) -> tuple[list[tuple[str, float]], float]:
        """The latencies as Prometheus has them: (upper bound, how many up to it) pairs, and their sum."""
        bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
        return list(zip(bounds, accumulate(self._latency), strict=True)), self._latency_sum


class Metrics:
    """All metrics of one gateway.

    Args:
        unconfirmed: tells how many messages wait for their confirm.
        spooled: tells how many messages wait on disk for the broker.
    """

    def __init__(self, unconfirmed: Callable[[], float], spooled: Callable[[], float]) -> None:
        self._unconfirmed = unconfirmed
        self._spooled = spooled
        self._providers: dict[str, ProviderMetrics] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self))

    def of_provider(self, provider: str, secret_count: int) -> ProviderMetrics:
        """The numbers of one provider, which has so many secrets; they outlive a change of its configuration."""
        numbers = self._providers.setdefault(provider, ProviderMetrics(0))
        numbers.secret_slots += [0] * (secret_count - len(numbers.secret_slots))
        return numbers

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        """All of them as Prometheus' client library has them."""
        yield self._counter(
            "webhook_requests",
            "Requests by provider and outcome.",
            "outcome",
            lambda numbers: numbers.outcomes,
        )
        yield self._counter(
            "webhook_signature_failures",
            "Refused signatures by provider and precise reason.",
            "reason",
            lambda numbers: numbers.signature_failures,
        )
        yield self._counter(
            "webhook_secret_slot_matches",
            "Verified requests by the position of the secret that matched, from 0.",
            "slot",
            lambda numbers: dict(enumerate(numbers.secret_slots)),
        )
        unchecked = CounterMetricFamily(
            "webhook_dedupe_unchecked",
            "Events published without a claim, because the claim store did not answer.",
            labels=["provider"],
        )
        commit_failures = CounterMetricFamily(
            "webhook_claim_commit_failures",
            "Claims of published events that could not be marked as done; a repetition may be published again.",
            labels=["provider"],
        )
        latency = HistogramMetricFamily(
            "webhook_request_duration_seconds",
            "Time from the complete head of a request to its answer.",
            labels=["provider"],
        )
        for provider, numbers in self._providers.items():
            unchecked.add_metric([provider], numbers.unchecked)
            commit_failures.add_metric([provider], numbers.commit_failures)
            latency.add_metric([provider], *numbers.latency())
        yield from (unchecked, commit_failures, latency)
        yield GaugeMetricFamily(
            "webhook_publishes_unconfirmed",
            "Messages that wait for the broker's confirm.",
            self._unconfirmed(),
        )
        yield GaugeMetricFamily(
            "webhook_spooled", "Events that wait on disk for the broker.", self._spooled()
        )

    def _counter(
        self,
        name: str,
        documentation: str,
        label: str,
        numbers_of: Callable[[ProviderMetrics], Mapping[Any, int]],
    ) -> Metric:
        family = CounterMetricFamily(name, documentation, labels=["provider", label])
        for provider, numbers in self._providers.items():
            for value, count in numbers_of(numbers).items():
                family.add_metric([provider, str(value)], count)
        return family


class _Collector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()
