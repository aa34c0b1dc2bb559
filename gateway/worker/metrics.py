"""A worker's numbers for Prometheus, on an address of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.worker.report import Histogram
from gateway.worker.run import Runner

_LABELS = ["queue"]


class WorkerMetrics(Collector):
    """The numbers of one process that runs a worker."""

    def __init__(self, queue: str, runner: Runner) -> None:
        self._queue = queue
        self._runner = runner

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        report = self._runner.report
        deliveries = CounterMetricFamily(
            "webhook_worker_deliveries",
            "Deliveries by queue and what became of them.",
            labels=[*_LABELS, "outcome"],
        )
        for outcome, count in list(report.outcomes.items()):
            deliveries.add_metric([self._queue, outcome], count)
        yield deliveries
        yield self._histogram(
            "webhook_worker_attempt_duration_seconds", "Time that a handler took.", report.durations
        )
        yield self._histogram(
            "webhook_worker_lag_seconds",
            "Time from an event's arrival at the gateway to its first attempt.",
            report.lags,
        )
        yield self._gauge(
            "webhook_worker_in_hand",
            "Events that the process has received and not settled.",
            self._runner.in_hand,
        )
        yield self._gauge(
            "webhook_worker_paused",
            "Whether the process leaves events in the queue, after failures or over a limit.",
            self._runner.is_paused,
        )

    def _histogram(self, name: str, documentation: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(name, documentation, labels=_LABELS)
        bounds = [*map(str, histogram.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric([self._queue], buckets, histogram.sum)
        return family

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, documentation, labels=_LABELS)
        family.add_metric([self._queue], value)
        return family
