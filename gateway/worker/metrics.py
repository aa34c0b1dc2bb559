"""The metrics of a worker's process, in the terms of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.observability.metrics import add_histogram
from gateway.worker.retry_policy import SettlementName
from gateway.worker.runner import Runner
from gateway.worker.stats import Histogram

_LABELS = ["queue"]


class WorkerMetrics(Collector):
    """Collects the metrics of the ``runner`` of ``queue``."""

    def __init__(self, queue: str, runner: Runner) -> None:
        self._queue = queue
        self._runner = runner

    @override
    def collect(self) -> Iterator[Metric]:
        stats = self._runner.stats
        deliveries = CounterMetricFamily(
            "webhook_deliveries",
            "Deliveries by queue and outcome.",
            labels=[*_LABELS, "outcome"],
        )
        # Outcomes that have not occurred are there as zeros: otherwise increase() misses the first of each.
        for outcome in get_args(SettlementName):
            deliveries.add_metric([self._queue, outcome], stats.outcomes[outcome])
        yield deliveries
        yield self._histogram(
            "webhook_handler_duration_seconds", "Time that a handler took.", stats.durations
        )
        yield self._histogram(
            "webhook_lag_seconds",
            "Time from an event's arrival at the gateway to its first attempt.",
            stats.lags,
        )
        yield self._gauge(
            "webhook_deliveries_in_hand",
            "Events that the process has received and not settled.",
            self._runner.in_hand,
        )
        yield self._gauge(
            "webhook_deliveries_paused",
            "Whether the process leaves events in the queue, after failures or over a limit.",
            self._runner.is_paused,
        )

    def _histogram(self, name: str, documentation: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(name, documentation, labels=_LABELS)
        add_histogram(family, self._queue, histogram.bounds, histogram.counts, histogram.sum)
        return family

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, documentation, labels=_LABELS)
        family.add_metric([self._queue], value)
        return family
