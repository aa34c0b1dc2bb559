"""The tables of the metrics, made from the collectors that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from gateway.observability.counters import GAUGES
from gateway.observability.metrics import Metrics
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.worker import Worker
from gateway.worker.metrics import WorkerMetrics
from gateway.worker.rabbitmq import RabbitQueue
from gateway.worker.runner import Runner


def gateway_metrics() -> str:
    """Return the table of the gateway's metrics."""
    metrics = Metrics()
    metrics.of_provider("github", 1)
    for gauge in GAUGES:
        metrics.sample(gauge.name, lambda: 0)
    return _table(metrics.collect())


def worker_metrics() -> str:
    """Return the table of a worker's metrics."""
    worker = Worker("agent", ["#"])
    runner = Runner(worker, RabbitQueue(BrokerNodes("amqp://localhost"), "webhooks", worker), None)
    return _table(WorkerMetrics(worker.queue, runner).collect())


def row_of(family: Metric) -> str:
    """Return the row of a metric: name, type, labels and description."""
    name = family.name + ("_total" if family.type == "counter" else "")
    labels = [f"`{label}`" for label in family.samples[0].labels if label != "le"]
    return f"| `{name}` | {family.type} | {', '.join(labels)} | {family.documentation} |"


def _table(families: Iterable[Metric]) -> str:
    return "\n".join(
        ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |", *map(row_of, families)]
    )
