"""The metrics, all of them, by name. Labels come from closed sets only: the configuration and our own enums.

Counting is adding to a number in memory that all workers share, and the numbers of all become Prometheus'
families when any of them is scraped: the client library's own counters and histograms take locks and walk
their buckets at every request, and know one process.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal, NamedTuple, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.answers import OUTCOMES
from gateway.config.models import MAX_SECRETS
from gateway.tallies import Numbers, Tallies
from providers.rejections import SIGNATURE_FAULTS, SignatureFault

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

UNKNOWN_PROVIDER = ""
"""The label of requests to a path that names no configured provider."""

_REFRESHED_EVERY = 1.0  # seconds
_STALE_AFTER = 5.0  # seconds without a word from a worker: it is dead, or as good as

Incident = Literal["unchecked", "commit_failure", "replay_suspected", "id_body_mismatch"]
"""What can happen to an event besides its outcome."""

INCIDENTS: dict[Incident, tuple[str, str]] = {
    "unchecked": (
        "webhook_dedupe_unchecked",
        "Events published without a claim, because the claim store did not answer.",
    ),
    "commit_failure": (
        "webhook_claim_commit_failures",
        "Claims of published events that could not be marked as done; a repetition may be published again.",
    ),
    "replay_suspected": (
        "webhook_replays_suspected",
        "Events published with a body that was seen before under another id.",
    ),
    "id_body_mismatch": (
        "webhook_id_body_mismatches",
        "Duplicates whose body is not that of the event first seen under their id.",
    ),
}
"""The counter of each: its name and its description."""


class Reading(NamedTuple):
    """A number of each worker that is read from time to time, not counted.

    Attributes:
        name: of the metric.
        documentation: its description.
        kind: how the readings of all workers become one: ``sum``, ``farthest`` from zero, or a ``counter``, which
            goes on where a dead worker's ended.
    """

    name: str
    documentation: str
    kind: Literal["sum", "farthest", "counter"] = "sum"


READINGS = (
    Reading("webhook_workers", "Workers that are alive and not stuck."),
    Reading("webhook_worker_restarts", "Workers that took the place of one that had ended.", "counter"),
    Reading("webhook_connections", "Open connections of senders."),
    Reading("webhook_requests_in_flight", "Requests that are being handled."),
    Reading("webhook_publishes_unconfirmed", "Messages that wait for the broker's confirm."),
    Reading("webhook_broker_unavailable", "Workers whose broker takes no events at the moment."),
    Reading("webhook_spooled", "Events that wait on disk for the broker."),
    Reading("webhook_spool_corrupt", "Rows of the spool that could not be read and were set aside."),
    Reading("webhook_clock_offset_seconds", "How far our clock is from that of Redis, at worst.", "farthest"),
    Reading("webhook_log_lines_dropped", "Log lines lost because nobody read them in time.", "counter"),
)
"""Those that a gateway has, if :meth:`Metrics.sample` was told how to read them."""

_PLACE = {reading.name: place for place, reading in enumerate(READINGS)}
_REFRESHED_AT = len(READINGS)
_PER_WORKER = len(READINGS) + 1

_COUNTED = (*OUTCOMES, *SIGNATURE_FAULTS, *range(MAX_SECRETS), *get_args(Incident))
_AT: dict[str | int, int] = {counted: place for place, counted in enumerate(_COUNTED)}
_LATENCY = len(_COUNTED)
_LATENCY_SUM = _LATENCY + len(LATENCY_BUCKETS) + 1
_SECRET_COUNT = _LATENCY_SUM + 1
_PER_PROVIDER = _SECRET_COUNT + 1


def shared_tallies(slots: int) -> Tallies:
    """The numbers of so many workers; they share them if this is called before they are forked."""
    return Tallies(slots, _PER_WORKER, _PER_PROVIDER)


class ProviderMetrics:
    """The numbers of one provider."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def count_outcome(self, outcome: str) -> None:
        """Count how one request ended, one of :data:`gateway.answers.OUTCOMES`."""
        self._numbers[_AT[outcome]] += 1

    def count_signature_failure(self, fault: SignatureFault) -> None:
        """Count one refused signature by its precise reason."""
        self._numbers[_AT[fault]] += 1

    def count_secret_slot(self, slot: int) -> None:
        """Count one verified request by the position of the secret that matched."""
        self._numbers[_AT[slot]] += 1

    def count(self, incident: Incident) -> None:
        """Count one of :data:`INCIDENTS`."""
        self._numbers[_AT[incident]] += 1

    def observe_latency(self, seconds: float) -> None:
        """Count how long one request took."""
        numbers = self._numbers
        numbers[_LATENCY + bisect_left(LATENCY_BUCKETS, seconds)] += 1
        numbers[_LATENCY_SUM] += seconds


class Metrics:
    """All metrics, as one worker sees them.

    Args:
        tallies: the numbers of all workers; by default those of one that is alone.
        slot: which of them are its own.
    """

    def __init__(self, tallies: Tallies | None = None, slot: int = 0) -> None:
        self._tallies = tallies or shared_tallies(1)
        self._region = self._tallies.regions[slot]
        self._before = self._region.numbers.tolist()
        self._readers: dict[str, Callable[[], float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self))
        has_predecessor = self._before[_REFRESHED_AT] > 0
        self.sample("webhook_workers", lambda: 1)
        self.sample("webhook_worker_restarts", lambda: has_predecessor)
        self.refresh()

    def of_provider(self, provider: str, secret_count: int) -> ProviderMetrics:
        """The numbers of one provider, which has so many secrets.

        Raises:
            OperatorError: there is no room for another provider.
        """
        numbers = self._region.of_provider(provider)
        numbers[_SECRET_COUNT] = max(numbers[_SECRET_COUNT], secret_count)
        return ProviderMetrics(numbers)

    def sample(self, name: str, read: Callable[[], float]) -> None:
        """Have one of :data:`READINGS` read: at every scrape, and once a second for the scrapes of others."""
        self._readers[READINGS[_PLACE[name]].name] = read

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
        for name, read in self._readers.items():
            place = _PLACE[name]
            numbers[place] = read() + (self._before[place] if READINGS[place].kind == "counter" else 0)
        numbers[_REFRESHED_AT] = time.monotonic()

    def render(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)

    def families(self) -> Iterator[Metric]:
        """All of them as Prometheus' client library has them."""
        self.refresh()
        providers = self._sums_by_provider()
        yield _counter(
            "webhook_requests", "Requests by provider and outcome.", "outcome", OUTCOMES, providers
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
                family.add_metric([provider], sums[_AT[incident]])
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
                so_far = sums.setdefault(provider, [0.0] * _PER_PROVIDER)
                secret_count = max(so_far[_SECRET_COUNT], numbers[_SECRET_COUNT])
                sums[provider] = [one + other for one, other in zip(so_far, numbers, strict=True)]
                sums[provider][_SECRET_COUNT] = secret_count
        return sums

    def _readings(self) -> Iterator[Metric]:
        workers = [region.numbers.tolist() for region in self._tallies.regions]
        oldest = time.monotonic() - _STALE_AFTER
        fresh = [numbers for numbers in workers if numbers[_REFRESHED_AT] >= oldest]
        for place, (name, documentation, kind) in enumerate(READINGS):
            if name not in self._readers:
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
    name: str, documentation: str, label: str, values: Iterable[str], providers: _ByProvider
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=["provider", label])
    for provider, sums in providers.items():
        for value in values:
            family.add_metric([provider, value], sums[_AT[value]])
    return family


def _secret_slots(providers: _ByProvider) -> Metric:
    family = CounterMetricFamily(
        "webhook_secret_slot_matches",
        "Verified requests by the position of the secret that matched, from 0.",
        labels=["provider", "slot"],
    )
    for provider, sums in providers.items():
        for slot in range(int(sums[_SECRET_COUNT])):
            family.add_metric([provider, str(slot)], sums[_AT[slot]])
    return family


def _latency(providers: _ByProvider) -> Metric:
    family = HistogramMetricFamily(
        "webhook_request_duration_seconds",
        "Time from the complete head of a request to its answer.",
        labels=["provider"],
    )
    bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
    for provider, sums in providers.items():
        counts = accumulate(sums[_LATENCY:_LATENCY_SUM])
        family.add_metric([provider], list(zip(bounds, counts, strict=True)), sums[_LATENCY_SUM])
    return family


class _Collector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.families()
