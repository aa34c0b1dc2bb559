"""The metrics, all of them, by name. Labels come from closed sets only: the configuration and our own enums.

The numbers of all workers become Prometheus' families when any of them is scraped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.errors import OUTCOMES
from gateway.observability.counters import (
    AT,
    EVENT_OUTCOMES,
    EVENT_PREFIX,
    INCIDENTS,
    LATENCY,
    LATENCY_BUCKETS,
    LATENCY_SUM,
    PER_PROVIDER,
    PLACE,
    READINGS,
    REFRESHED_AT,
    SECRET_COUNT,
    ProviderMetrics,
    shared_tallies,
)
from gateway.observability.shared_memory import SharedCounters
from gateway.signatures.rejections import SIGNATURE_FAULTS

UNKNOWN_PROVIDER = ""
"""The label of requests to a path that names no configured provider."""

_REFRESHED_EVERY = 1.0  # seconds
_STALE_AFTER = 5.0  # seconds without a word from a worker: it is dead, or as good as


class Metrics(Collector):
    """All metrics, as one worker sees them.

    Args:
        tallies: the numbers of all workers; by default those of one that is alone.
        slot: which of them are its own.
    """

    def __init__(self, tallies: SharedCounters | None = None, slot: int = 0) -> None:
        self._tallies = tallies or shared_tallies(1)
        self._region = self._tallies.regions[slot]
        self._before = self._region.numbers.tolist()
        self._readers: dict[int, Callable[[], float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        has_predecessor = self._before[REFRESHED_AT] > 0
        self.sample("webhook_processes", lambda: 1)
        self.sample("webhook_process_restarts", lambda: has_predecessor)
        self.refresh()

    def of_provider(self, provider: str, secret_count: int) -> ProviderMetrics:
        """The numbers of one provider, which has so many secrets.

        Raises:
            OperatorError: there is no room for another provider.
        """
        numbers = self._region.of_provider(provider)
        numbers[SECRET_COUNT] = max(numbers[SECRET_COUNT], secret_count)
        return ProviderMetrics(numbers)

    def sample(self, name: str, read: Callable[[], float]) -> None:
        """Have one of :data:`READINGS` read: at every scrape, and once a second for the scrapes of others."""
        self._readers[PLACE[name]] = read

    async def start(self) -> None:
        """Begin to read what is sampled."""
        self.refresh()
        self._timer = asyncio.get_running_loop().call_later(_REFRESHED_EVERY, self._keep_fresh)

    async def stop(self) -> None:
        """Stop reading."""
        if self._timer:
            self._timer.cancel()

    def refresh(self) -> None:
        """Read all that is sampled."""
        numbers = self._region.numbers
        for place, read in self._readers.items():
            numbers[place] = read() + (self._before[place] if READINGS[place].kind == "counter" else 0)
        numbers[REFRESHED_AT] = time.monotonic()

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """All of them as Prometheus' client library has them."""
        self.refresh()
        providers = self._sums_by_provider()
        yield _counter(
            "webhook_requests", "Requests by provider and outcome.", "outcome", OUTCOMES, providers
        )
        yield _counter(
            "webhook_events",
            "Verified events by provider and what became of them; a delivery can carry several.",
            "outcome",
            EVENT_OUTCOMES,
            providers,
            EVENT_PREFIX,
        )
        yield _counter(
            "webhook_signature_failures",
            "Refused signatures by provider and precise reason.",
            "reason",
            SIGNATURE_FAULTS,
            providers,
        )
        yield _secret_slots(providers)
        for incident, (name, documentation) in INCIDENTS.items():
            family = CounterMetricFamily(name, documentation, labels=["provider"])
            for provider, sums in providers.items():
                family.add_metric([provider], sums[AT[incident]])
            yield family
        yield _latency(providers)
        yield from self._readings()

    def _keep_fresh(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_REFRESHED_EVERY, self._keep_fresh)
        self.refresh()

    def _sums_by_provider(self) -> dict[str, list[float]]:
        sums: dict[str, list[float]] = {}
        for region in self._tallies.regions:
            for provider, numbers in region.records():
                so_far = sums.setdefault(provider, [0.0] * PER_PROVIDER)
                secret_count = max(so_far[SECRET_COUNT], numbers[SECRET_COUNT])
                sums[provider] = [one + other for one, other in zip(so_far, numbers, strict=True)]
                sums[provider][SECRET_COUNT] = secret_count
        return sums

    def _readings(self) -> Iterator[Metric]:
        workers = [region.numbers.tolist() for region in self._tallies.regions]
        oldest = time.monotonic() - _STALE_AFTER
        fresh = [numbers for numbers in workers if numbers[REFRESHED_AT] >= oldest]
        for place, (name, documentation, kind) in enumerate(READINGS):
            if place not in self._readers:
                continue
            if kind == "counter":
                yield CounterMetricFamily(name, documentation, sum(numbers[place] for numbers in workers))
            elif kind == "farthest":
                yield GaugeMetricFamily(
                    name, documentation, max((numbers[place] for numbers in fresh), key=abs)
                )
            else:
                yield GaugeMetricFamily(name, documentation, sum(numbers[place] for numbers in fresh))


_ByProvider = Mapping[str, list[float]]


def _counter(
    name: str,
    documentation: str,
    label: str,
    values: Iterable[str],
    providers: _ByProvider,
    prefix: str = "",
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=["provider", label])
    for provider, sums in providers.items():
        for value in values:
            family.add_metric([provider, value], sums[AT[prefix + value]])
    return family


def _secret_slots(providers: _ByProvider) -> Metric:
    family = CounterMetricFamily(
        "webhook_secret_slot_matches",
        "Verified requests by the position of the secret that matched, from 0.",
        labels=["provider", "slot"],
    )
    for provider, sums in providers.items():
        for slot in range(int(sums[SECRET_COUNT])):
            family.add_metric([provider, str(slot)], sums[AT[slot]])
    return family


def _latency(providers: _ByProvider) -> Metric:
    family = HistogramMetricFamily(
        "webhook_request_duration_seconds",
        "Time from the complete head of a request to its answer.",
        labels=["provider"],
    )
    bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
    for provider, sums in providers.items():
        counts = accumulate(sums[LATENCY:LATENCY_SUM])
        family.add_metric([provider], list(zip(bounds, counts, strict=True)), sums[LATENCY_SUM])
    return family
