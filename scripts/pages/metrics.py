"""The tables of the metrics, made from the collectors that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from gateway.console.metrics import ConsoleMetrics
from gateway.console.observed_metrics import Observed, ObservedMetrics
from gateway.journal.reports import Heartbeat
from gateway.observability.counters import GAUGES
from gateway.observability.metrics import Metrics
from gateway.observability.outbound_counters import OutboundMetrics, OutboundReader, outbound_counters
from gateway.operations.certificates import CertificateEnd
from gateway.operations.secrets import SecretEvidence
from gateway.operations.status_models import ProcessesStatus, QueueStatus, SpoolStatus, Status, StoreStatus
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
        metrics.sample(gauge.name, lambda: 0, gauge.stage)
    return _table([*metrics.collect(), *ConsoleMetrics().collect()])


def console_metrics() -> str:
    """Return the table of the metrics of the console process."""
    observed = ObservedMetrics()
    queue = QueueStatus("agent", "worker", 0, 0, 0, 0, 0.0)
    store = StoreStatus("embedded", is_available=True, text="")
    processes = ProcessesStatus(
        is_running=True, is_ready=True, alive=1, configured=1, restarts=0, checks={}, error=""
    )
    spool = SpoolStatus(0, 0, 0, 0.0, 0)
    observed.note(
        Observed(
            Status(0.0, "", (), processes, spool, (queue,), store, store, None, None, None),
            (Heartbeat(queue="agent", host="a", pid=1, version="1", at=0.0, started_at=0.0),),
            (SecretEvidence("github", 0, "", None, None, 0, 0, "in_use", "", None),),
            (CertificateEnd("redis", "client", 0.0),),
        )
    )
    return _table(observed.collect())


def outbound_metrics() -> str:
    """Return the table of the metrics of the way out."""
    counters = outbound_counters()
    metrics = OutboundMetrics(counters)
    metrics.count("default", "status")
    metrics.observe({}, 1.0)
    metrics.begin()
    metrics.sample({})
    return _table(OutboundReader(counters).collect())


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
