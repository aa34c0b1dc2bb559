"""Metrics of what the console looks at: queues, workers, the spool on disk, secrets, and certificates.

Receiving processes know nothing of these. The console asks every half minute, and `/metrics` shows what it found then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.journal.reports import Heartbeat
from gateway.operations.certificates import CertificateEnd
from gateway.operations.secrets import SecretEvidence
from gateway.operations.status_models import Status

LOOK_INTERVAL = 30.0
"""Seconds between two looks: as often as Prometheus usually scrapes."""


class Observed(NamedTuple):
    """What the console found at one look.

    Attributes:
        status: Queues, spool and stores.
        workers: The workers that are alive.
        secrets: When each secret matched last.
        certificates: When each certificate ends.
    """

    status: Status
    workers: tuple[Heartbeat, ...] = ()
    secrets: tuple[SecretEvidence, ...] = ()
    certificates: tuple[CertificateEnd, ...] = ()


class ObservedMetrics(Collector):
    """The metrics of the last look; no sample of a metric before the first."""

    def __init__(self) -> None:
        self._observed: Observed | None = None

    def note(self, observed: Observed) -> None:
        """Replace what was found before."""
        self._observed = observed

    @override
    def collect(self) -> Iterator[Metric]:
        observed = self._observed
        status = observed.status if observed else None
        yield _gauge(
            "webhook_observed_timestamp_seconds",
            "When the console last looked at queues, workers and secrets, in Unix seconds.",
            (),
            [((), status.at)] if status else [],
        )
        yield from _queues(status)
        yield from _workers(observed.workers if observed else ())
        yield from _spool(status)
        yield from _secrets(observed.secrets if observed else ())
        yield _gauge(
            "webhook_certificate_expires_timestamp_seconds",
            "When a certificate ends, in Unix seconds: our own (`client`) and the authorities (`ca`) of the connections to "
            "RabbitMQ and Redis, and the certificates of keys that were fetched from providers (`key`).",
            ("part", "use"),
            [((each.part, each.use), each.ends_at) for each in (observed.certificates if observed else ())],
        )


Samples = Iterable[tuple[tuple[str, ...], float | None]]


def _gauge(name: str, documentation: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """Return a gauge without the samples that are unknown."""
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, number in samples:
        if number is not None:
            family.add_metric(values, number)
    return family


def _queues(status: Status | None) -> Iterator[Metric]:
    queues = status.queues if status else ()
    labels = ("queue", "kind")
    yield _gauge(
        "webhook_queue_messages",
        "Messages in a queue that wait for a consumer.",
        labels,
        [((each.name, each.kind), each.ready) for each in queues],
    )
    yield _gauge(
        "webhook_queue_consumers",
        "Consumers of a queue.",
        labels,
        [((each.name, each.kind), each.consumers) for each in queues],
    )
    yield _gauge(
        "webhook_queue_oldest_timestamp_seconds",
        "When the gateway received the oldest event of a queue, in Unix seconds; only of the embedded queue.",
        labels,
        [((each.name, each.kind), each.oldest_at) for each in queues],
    )


def _workers(workers: tuple[Heartbeat, ...]) -> Iterator[Metric]:
    processes, paused, in_progress = Counter[str](), Counter[str](), Counter[str]()
    for each in workers:
        processes[each.queue] += 1
        paused[each.queue] += bool(each.paused)
        in_progress[each.queue] += each.in_progress
    for name, documentation, found in (
        ("webhook_worker_processes", "Processes of a queue's worker that are alive.", processes),
        ("webhook_worker_processes_paused", "Those of them that leave events in the queue.", paused),
        ("webhook_worker_in_progress", "Events that they have received and not settled.", in_progress),
    ):
        yield _gauge(
            name, documentation, ("queue",), [((queue,), found[queue]) for queue in sorted(processes)]
        )


def _spool(status: Status | None) -> Iterator[Metric]:
    spool = status.spool if status else None
    found = spool if spool and not spool.error else None
    for name, documentation, number in (
        (
            "webhook_spool_bytes",
            "Bytes of the events in the spool on disk.",
            float(found.size) if found else None,
        ),
        (
            "webhook_spool_max_bytes",
            "Bytes beyond which events are answered 503.",
            float(found.max_size) if found else None,
        ),
        (
            "webhook_spool_oldest_timestamp_seconds",
            "When the oldest event in the spool was received, in Unix seconds; none while it is empty.",
            found.oldest_at if found else None,
        ),
    ):
        yield _gauge(name, documentation, (), [((), number)])


def _secrets(secrets: tuple[SecretEvidence, ...]) -> Iterator[Metric]:
    labels = ("provider", "slot")
    yield _gauge(
        "webhook_secret_last_match_timestamp_seconds",
        "When a request last matched a secret, by its position, in Unix seconds; 0 if none ever did.",
        labels,
        [((each.provider, str(each.slot)), each.last_match_at or 0.0) for each in secrets],
    )
    yield _gauge(
        "webhook_secret_removable",
        "Whether a secret can be removed from the configuration: the provider signs with another one.",
        labels,
        [((each.provider, str(each.slot)), each.verdict == "safe_to_remove") for each in secrets],
    )


async def keep_observing(metrics: ObservedMetrics, look: Callable[[], Awaitable[Observed]]) -> None:
    """Look every half minute, for ever.

    Raises:
        OSError: Something could not be read.
    """
    while True:
        metrics.note(await look())
        await asyncio.sleep(LOOK_INTERVAL)
