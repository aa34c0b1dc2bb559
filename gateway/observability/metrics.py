"""The metrics by name. Labels have closed sets of values: the configuration and our enums.

Whichever process is scraped, it turns the numbers of all processes into Prometheus' families.

The module has slightly more than 200 lines because it is one list of metrics with their help texts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.errors import OUTCOMES
from gateway.observability.counters import (
    COUNTER_INDEX,
    EVENT_OUTCOMES,
    EVENT_PREFIX,
    GAUGE_INDEX,
    GAUGES,
    INCIDENTS,
    LATENCY,
    LATENCY_BUCKETS,
    LATENCY_SUM,
    PER_PROVIDER,
    SAMPLED_AT,
    SECRET_COUNT,
    ProviderMetrics,
    shared_counters,
)
from gateway.observability.shared_memory import PRIVATE, SharedCounters
from gateway.signatures.rejections import SIGNATURE_FAULTS

UNKNOWN_PROVIDER = ""
"""The label of requests to a path that names no configured provider."""

_SAMPLE_DELAY = 1.0
"""Seconds between two samples: another process that is scraped reads gauges that are at most this old."""

STALE_AFTER = 5.0
"""Seconds without a sample after which a process counts as dead or stuck; five samples in a row are missing then."""

_ByProvider = Mapping[str, list[float]]


class MetricsReader(Collector):
    """All metrics, read from the numbers of all processes.

    Args:
        counters: The numbers of all processes.
    """

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters

    def render(self) -> bytes:
        """Render all metrics in Prometheus' text format."""
        return generate_latest(self)

    @override
    def collect(self) -> Iterator[Metric]:
        providers = self._sums_by_provider()
        yield _counter(
            "webhook_requests", "Requests by provider and outcome.", "outcome", OUTCOMES, providers
        )
        yield _counter(
            "webhook_events",
            "Verified events by provider and outcome; a request can carry several.",
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
                family.add_metric([provider], sums[COUNTER_INDEX[incident]])
            yield family
        yield _latency(providers)
        yield from self._gauges()

    def _sums_by_provider(self) -> dict[str, list[float]]:
        sums: dict[str, list[float]] = {}
        for region in self._counters.regions:
            for provider, numbers in region.records():
                so_far = sums.setdefault(provider, [0.0] * PER_PROVIDER)
                secret_count = max(so_far[SECRET_COUNT], numbers[SECRET_COUNT])
                sums[provider] = [one + other for one, other in zip(so_far, numbers, strict=True)]
                sums[provider][SECRET_COUNT] = secret_count
        return sums

    def _gauges(self) -> Iterator[Metric]:
        processes = [region.numbers.tolist() for region in self._counters.regions]
        oldest = time.monotonic() - STALE_AFTER
        fresh = [numbers for numbers in processes if numbers[SAMPLED_AT] >= oldest]
        staged: dict[str, CounterMetricFamily] = {}
        for index, (name, documentation, kind, stage) in enumerate(GAUGES):
            if not self._has(index):
                continue
            if stage:
                family = staged.setdefault(name, CounterMetricFamily(name, documentation, labels=["stage"]))
                family.add_metric([stage], sum(numbers[index] for numbers in processes))
            elif kind == "counter":
                yield CounterMetricFamily(name, documentation, sum(numbers[index] for numbers in processes))
            elif kind == "farthest":
                values = (numbers[index] for numbers in fresh)
                yield GaugeMetricFamily(name, documentation, max(values, key=abs, default=0.0))
            else:
                yield GaugeMetricFamily(name, documentation, sum(numbers[index] for numbers in fresh))
        yield from staged.values()

    def _has(self, _: int) -> bool:
        """Return whether the processes sample a gauge."""
        return True


class Metrics(MetricsReader):
    """All metrics, as one process counts and sees them.

    Args:
        counters: The numbers of all processes; by default those of a single one.
        slot: The number of this process, from 0.
    """

    def __init__(self, counters: SharedCounters | None = None, slot: int = 0) -> None:
        super().__init__(counters or shared_counters(1, PRIVATE))
        self._region = self._counters.regions[slot]
        self._before = self._region.numbers.tolist()
        self._readers: dict[int, Callable[[], float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        has_predecessor = self._before[SAMPLED_AT] > 0
        self.sample("webhook_processes", lambda: 1)
        self.sample("webhook_process_restarts", lambda: has_predecessor)
        self.refresh()

    def of_provider(self, provider: str, secret_count: int) -> ProviderMetrics:
        """Return the numbers of a provider that has ``secret_count`` secrets.

        Raises:
            OperatorError: There is no room for another provider.
        """
        numbers = self._region.of_provider(provider)
        numbers[SECRET_COUNT] = max(numbers[SECRET_COUNT], secret_count)
        return ProviderMetrics(numbers)

    def sample(self, name: str, read: Callable[[], float], stage: str = "") -> None:
        """Sample one of :data:`GAUGES` with ``read``.

        It is called at each scrape of this process, and every second for scrapes of the other processes.
        """
        self._readers[GAUGE_INDEX[name, stage]] = read

    async def start(self) -> None:
        """Begin to sample every second."""
        self.refresh()
        self._timer = asyncio.get_running_loop().call_later(_SAMPLE_DELAY, self._keep_fresh)

    async def stop(self) -> None:
        """Stop sampling."""
        if self._timer:
            self._timer.cancel()

    def refresh(self) -> None:
        """Sample all gauges now."""
        numbers = self._region.numbers
        for index, read in self._readers.items():
            numbers[index] = read() + (self._before[index] if GAUGES[index].kind == "counter" else 0)
        numbers[SAMPLED_AT] = time.monotonic()

    @override
    def collect(self) -> Iterator[Metric]:
        self.refresh()
        yield from super().collect()

    @override
    def _has(self, index: int) -> bool:
        return index in self._readers

    def _keep_fresh(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SAMPLE_DELAY, self._keep_fresh)
        self.refresh()


def add_histogram(
    family: HistogramMetricFamily, label: str, bounds: Sequence[float], counts: Iterable[float], total: float
) -> None:
    """Add a histogram to its family.

    Args:
        family: The family, which has one label.
        label: The value of that label.
        bounds: The upper bounds of all buckets but the last, which has none.
        counts: How many observations each bucket has, without those of the buckets before it.
        total: The sum of all observations.
    """
    upper_bounds = [*map(str, bounds), "+Inf"]
    family.add_metric([label], list(zip(upper_bounds, accumulate(counts), strict=True)), total)


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
            family.add_metric([provider, value], sums[COUNTER_INDEX[prefix + value]])
    return family


def _secret_slots(providers: _ByProvider) -> Metric:
    family = CounterMetricFamily(
        "webhook_secret_slot_matches",
        "Verified requests by the position of the secret that matched, from 0.",
        labels=["provider", "slot"],
    )
    for provider, sums in providers.items():
        for slot in range(int(sums[SECRET_COUNT])):
            family.add_metric([provider, str(slot)], sums[COUNTER_INDEX[slot]])
    return family


def _latency(providers: _ByProvider) -> Metric:
    family = HistogramMetricFamily(
        "webhook_request_duration_seconds",
        "Time from the complete head of a request to its response.",
        labels=["provider"],
    )
    for provider, sums in providers.items():
        add_histogram(family, provider, LATENCY_BUCKETS, sums[LATENCY:LATENCY_SUM], sums[LATENCY_SUM])
    return family
