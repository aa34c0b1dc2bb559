"""The metrics of the console itself; those of the gateway are in :mod:`gateway.observability.metrics`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override


class ConsoleMetrics(Collector):
    """What the console reports of itself.

    Args:
        restarts: How many consoles there were before this one.
    """

    def __init__(self, restarts: int = 0) -> None:
        self._restarts = restarts

    @override
    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "webhook_console_restarts", "Consoles that replaced one that had ended.", self._restarts
        )
