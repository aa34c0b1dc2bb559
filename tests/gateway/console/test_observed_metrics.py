"""Metrics of what the console looks at."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.console import observed_metrics
from gateway.console.observed_metrics import Observed, ObservedMetrics, keep_observing
from gateway.journal.reports import Heartbeat
from gateway.operations.certificates import CertificateEnd
from gateway.operations.secrets import SecretEvidence
from gateway.operations.status_models import ProcessesStatus, QueueStatus, SpoolStatus, Status, StoreStatus
from support.waiting import wait_until_async

STORE = StoreStatus("embedded", is_available=True, text="")
PROCESSES = ProcessesStatus(
    is_running=True, is_ready=True, alive=1, configured=1, restarts=0, checks={}, error=""
)


def observed(at: float = 100.0, **found: Any) -> Observed:
    """What a look found."""
    queues, spool = found.pop("queues", ()), found.pop("spool", None)
    state = Status(at, "", (), PROCESSES, spool, queues, STORE, STORE, None, None, None)
    return Observed(state, **found)


def heartbeat(pid: int, paused: str = "") -> Heartbeat:
    """The heartbeat of a process."""
    return Heartbeat(
        queue="agent", host="a", pid=pid, version="1", at=0.0, started_at=0.0, in_progress=2, paused=paused
    )


def samples(metrics: ObservedMetrics) -> dict[tuple[str, ...], float]:
    """The samples by name and values of labels, as Prometheus reads them."""
    text = generate_latest(metrics).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_there_are_no_samples_before_the_first_look() -> None:
    """A zero would say that all queues are empty."""
    assert samples(ObservedMetrics()) == {}


def test_queues_workers_spool_and_secrets_have_samples() -> None:
    """What is not known has none."""
    metrics = ObservedMetrics()
    metrics.note(
        observed(
            queues=(
                QueueStatus("agent", "worker", 5, 1, 0, 2, 42.0),
                QueueStatus('odd"\n', "dead_letters", 3, None, None, None, None),
            ),
            spool=SpoolStatus(7, 1000, 5000, 90.0, 0),
            workers=(heartbeat(1), heartbeat(2, "20 failures in a row")),
            secrets=(
                SecretEvidence("stripe", 0, "abc", None, 80.0, 0, 0, "in_use", "", None),
                SecretEvidence("stripe", 1, "def", None, None, 0, 0, "safe_to_remove", "", None),
            ),
            certificates=(CertificateEnd("redis", "client", 1e9),),
        )
    )

    assert samples(metrics) == {
        ("webhook_observed_timestamp_seconds",): 100.0,
        ("webhook_queue_messages", "worker", "agent"): 5.0,
        ("webhook_queue_messages", "dead_letters", 'odd"\n'): 3.0,
        ("webhook_queue_consumers", "worker", "agent"): 2.0,
        ("webhook_queue_oldest_timestamp_seconds", "worker", "agent"): 42.0,
        ("webhook_worker_processes", "agent"): 2.0,
        ("webhook_worker_processes_paused", "agent"): 1.0,
        ("webhook_worker_in_progress", "agent"): 4.0,
        ("webhook_spool_bytes",): 1000.0,
        ("webhook_spool_max_bytes",): 5000.0,
        ("webhook_spool_oldest_timestamp_seconds",): 90.0,
        ("webhook_secret_last_match_timestamp_seconds", "stripe", "0"): 80.0,
        ("webhook_secret_last_match_timestamp_seconds", "stripe", "1"): 0.0,
        ("webhook_secret_removable", "stripe", "0"): 0.0,
        ("webhook_secret_removable", "stripe", "1"): 1.0,
        ("webhook_certificate_expires_timestamp_seconds", "redis", "client"): 1e9,
    }


def test_a_spool_that_cannot_be_read_has_no_samples() -> None:
    """It may be full."""
    metrics = ObservedMetrics()
    metrics.note(observed(spool=SpoolStatus(0, 0, 5000, None, 0, "disk error")))

    assert set(samples(metrics)) == {("webhook_observed_timestamp_seconds",)}


async def test_each_look_replaces_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is gone is gone from the metrics."""
    monkeypatch.setattr(observed_metrics, "LOOK_INTERVAL", 0.0)
    metrics = ObservedMetrics()
    looks = iter([observed(1.0, queues=(QueueStatus("old", "worker", 1, 0, 0, 0, None),)), observed(2.0)])
    last: list[Observed] = []

    async def look() -> Observed:
        last[:] = [next(looks, *last)]
        return last[0]

    watching = asyncio.create_task(keep_observing(metrics, look))
    await wait_until_async(lambda: ("webhook_observed_timestamp_seconds",) in samples(metrics))
    await wait_until_async(lambda: samples(metrics) == {("webhook_observed_timestamp_seconds",): 2.0})
    watching.cancel()
