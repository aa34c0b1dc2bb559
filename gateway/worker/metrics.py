"""A worker's numbers in Prometheus' terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.observability.metrics import add_histogram
from gateway.worker.retry_policy import SettlementName
from gateway.worker.runner import Runner
from gateway.worker.stats import Histogram

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
            "webhook_deliveries",
            "Deliveries by queue and what became of them.",
            labels=[*_LABELS, "outcome"],
        )
        for outcome in get_args(
            SettlementName
        ):  # all of them, so that there is a first one to see an increase from
            deliveries.add_metric([self._queue, outcome], report.outcomes[outcome])
        yield deliveries
        yield self._histogram(
            "webhook_handler_duration_seconds", "Time that a handler took.", report.durations
        )
        yield self._histogram(
            "webhook_lag_seconds",
            "Time from an event's arrival at the gateway to its first attempt.",
            report.lags,
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
