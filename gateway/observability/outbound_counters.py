"""The numbers of the way out, in memory that its process shares with the one that is scraped."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.errors import OperatorError
from gateway.observability.shared_memory import Numbers, SharedCounters

MAX_TENANTS = 100
"""Tenants with numbers of their own. Those of all further ones are counted together, with an empty label."""

PHASES = ("dns", "connect", "tls", "head", "total")
"""The phases of an attempt, in their order; `total` is all of it."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds of the histograms of attempts; no attempt takes longer than 30 s."""

FAILURES = (
    "status", "redirect", "address_refused", "dns", "connect", "reset", "tls_expired", "tls_name", "tls_untrusted", "tls",
    "timeout_dns", "timeout_connect", "timeout_tls", "timeout_head", "protocol", "interrupted", "format",
)  # fmt: skip
"""How attempts fail; a test compares them with :class:`gateway.outbound.outcomes.Outcome`."""

COUNTERS = {
    "accepted": "Events accepted for delivery.",
    "delivered": "Deliveries that a receiver has taken.",
    "dead": "Deliveries that are dead: no further attempt is made.",
    "held": "Deliveries that were held, because their endpoint is disabled or full.",
}
"""What is counted for each tenant besides failures, with its description."""


class Gauge(NamedTuple):
    """What is sampled.

    Attributes:
        name: Its name, without the prefix.
        documentation: Its description.
        label: The label that tells its numbers apart; empty if it has one number.
        values: The values of the label.
    """

    name: str
    documentation: str
    label: str = ""
    values: tuple[str, ...] = ("",)


GAUGES = (
    Gauge(
        "age_seconds",
        "For how long the oldest delivery has been due, in seconds, by the circuit of its endpoint.",
        "circuit",
        ("closed", "open", "half_open"),
    ),
    Gauge(
        "circuits",
        "Enabled endpoints of the process by their circuits: those whose circuit is open get nothing for a while, because "
        "they failed.",
        "state",
        ("closed", "open", "half_open"),
    ),
    Gauge(
        "endpoints",
        "Endpoints of the process by their state: enabled, failing (for a quarter of an hour or longer), paused, disabled "
        "(since it failed for days, or wanted no more), manual (disabled by a person) or unverified (a tenant's new one).",
        "state",
        ("enabled", "failing", "paused", "disabled", "manual", "unverified"),
    ),
    Gauge("in_flight", "Attempts under way, by their lane.", "lane", ("fast", "slow")),
    Gauge("shards", "Shards of endpoints that the process owns, of 256."),
    Gauge("records_waiting", "Attempts that wait to be recorded."),
    Gauge("database_unavailable", "Whether the database of deliveries cannot be used at the moment."),
)
"""What is sampled. What is counted of endpoints is counted for those of the process, so that sums are those of all."""

Sample = Mapping[tuple[str, str], float]
"""Numbers of :data:`GAUGES` by name and value of the label."""

_COUNTED = (*COUNTERS, *FAILURES)
_INDEX = {name: index for index, name in enumerate(_COUNTED)}
_SAMPLED = tuple((gauge.name, value) for gauge in GAUGES for value in gauge.values)
_GAUGE_INDEX = {key: index for index, key in enumerate(_SAMPLED)}
_HAS_BEGUN = len(_SAMPLED)
_SAMPLED_AT = _HAS_BEGUN + 1
_HISTOGRAMS = _SAMPLED_AT + 1
_HISTOGRAM_SIZE = len(BUCKETS) + 2
_PER_PROCESS = _HISTOGRAMS + len(PHASES) * _HISTOGRAM_SIZE

OUTBOUND = "outbound"
"""The name of the way out among the parts of the gateway in `/readyz`."""

_STALE_AFTER = 10.0
"""Seconds without a sample after which the process counts as dead, and has no gauges."""


def outbound_counters(descriptor: int | None = None) -> SharedCounters:
    """Allocate the numbers before the process is started; or map those at ``descriptor``.

    Raises:
        ValueError: What is at ``descriptor`` was made by another version of this program.
    """
    return SharedCounters(1, _PER_PROCESS, len(_COUNTED), descriptor)


class OutboundMetrics:
    """Counts what the way out does.

    Args:
        counters: The numbers.
    """

    def __init__(self, counters: SharedCounters) -> None:
        self._region = counters.regions[0]
        self._numbers = self._region.numbers
        self._tenants: dict[str, Numbers] = dict(self._region.records())

    def count(self, tenant: str, name: str, times: int = 1) -> None:
        """Count one of :data:`COUNTERS` or :data:`FAILURES` for a tenant."""
        numbers = self._tenants.get(tenant)
        if numbers is None:
            numbers = self._numbers_of(tenant)
        numbers[_INDEX[name]] += times

    def observe(self, phases: Mapping[str, float], total: float) -> None:
        """Add the milliseconds of an attempt's phases, and of all of it, to the histograms."""
        for position, phase in enumerate(PHASES):
            ms = total if phase == "total" else phases.get(phase)
            if ms is not None:
                start = _HISTOGRAMS + position * _HISTOGRAM_SIZE
                self._numbers[start + bisect_left(BUCKETS, ms / 1000)] += 1
                self._numbers[start + _HISTOGRAM_SIZE - 1] += ms / 1000

    def begin(self) -> None:
        """Note that the process is to work from now on: it is down until its first sample."""
        self._numbers[_HAS_BEGUN] = 1

    def end(self) -> None:
        """Note that the process has ended as it should: it is not down."""
        self._numbers[_HAS_BEGUN] = self._numbers[_SAMPLED_AT] = 0

    def sample(self, sample: Sample) -> None:
        """Note all of :data:`GAUGES` as they are now; what the sample lacks is zero."""
        for index, key in enumerate(_SAMPLED):
            self._numbers[index] = sample.get(key, 0.0)
        self._numbers[_SAMPLED_AT] = time.monotonic()

    def _numbers_of(self, tenant: str) -> Numbers:
        if len(self._tenants) >= MAX_TENANTS:
            tenant = ""
        if tenant not in self._tenants:
            with suppress(OperatorError):
                self._tenants[tenant] = self._region.of_provider(tenant)
        return self._tenants[tenant]


class OutboundReader(Collector):
    """The metrics of the way out, read from its numbers; none of it while nothing was ever sent or sampled.

    Args:
        counters: The numbers.
    """

    def __init__(self, counters: SharedCounters) -> None:
        self._region = counters.regions[0]

    def unavailable_reasons(self) -> dict[str, str]:
        """Return why nothing is delivered, as one part of the gateway; an empty text if it is, no part if nothing is to be."""
        numbers = self._region.numbers.tolist()
        if not numbers[_HAS_BEGUN]:
            return {}
        if not _is_fresh(numbers):
            return {OUTBOUND: "its process has failed or hangs; its log says why"}
        away = numbers[_GAUGE_INDEX["database_unavailable", ""]]
        return {OUTBOUND: "its database cannot be used" if away else ""}

    @override
    def collect(self) -> Iterator[Metric]:
        tenants = {name: numbers.tolist() for name, numbers in self._region.records()}
        for name, documentation in COUNTERS.items():
            family = CounterMetricFamily(f"outbound_{name}", documentation, labels=["tenant"])
            for tenant, numbers in tenants.items():
                family.add_metric([tenant], numbers[_INDEX[name]])
            yield family
        failed = CounterMetricFamily(
            "outbound_failed", "Attempts that failed, by their outcome.", labels=["tenant", "outcome"]
        )
        for tenant, numbers in tenants.items():
            for outcome in FAILURES:
                if number := numbers[_INDEX[outcome]]:
                    failed.add_metric([tenant, outcome], number)
        yield failed
        yield from self._of_process(self._region.numbers.tolist())

    def _of_process(self, numbers: Sequence[float]) -> Iterator[Metric]:
        is_fresh = _is_fresh(numbers)
        up = GaugeMetricFamily(
            "outbound_up", "Whether the process of the way out works: 0 if it has failed or hangs."
        )
        if numbers[_HAS_BEGUN]:
            up.add_metric([], is_fresh)
        yield up
        for gauge in GAUGES:
            labels = [gauge.label] if gauge.label else []
            family = GaugeMetricFamily(f"outbound_{gauge.name}", gauge.documentation, labels=labels)
            for value in gauge.values if is_fresh else ():
                family.add_metric([value] * len(labels), numbers[_GAUGE_INDEX[gauge.name, value]])
            yield family
        histogram = HistogramMetricFamily(
            "outbound_attempt_seconds", "Time of attempts, by their phases.", labels=["phase"]
        )
        bounds = [*map(str, BUCKETS), "+Inf"]
        for position, phase in enumerate(PHASES):
            start = _HISTOGRAMS + position * _HISTOGRAM_SIZE
            counts = numbers[start : start + _HISTOGRAM_SIZE - 1]
            if any(counts):
                total = numbers[start + _HISTOGRAM_SIZE - 1]
                histogram.add_metric([phase], list(zip(bounds, accumulate(counts), strict=True)), total)
        yield histogram


def _is_fresh(numbers: Sequence[float]) -> bool:
    return 0 < numbers[_SAMPLED_AT] >= time.monotonic() - _STALE_AFTER
