"""The numbers that the gateway counts, in memory that all of its processes share.

Counting adds to a number in shared memory; :mod:`gateway.observability.metrics` turns the numbers into Prometheus'
families when they are scraped.

prometheus-client has a multiprocess mode for the same purpose. The counting of one accepted event (three counters, one
histogram) takes 0.6 µs here and 4.9 µs there, labels bound in advance, 9.2 µs with a look-up of labels; prometheus-client
0.26.0, Python 3.11.7, best of 9 runs of 100,000 events, 2026-11-30. The library takes a lock and walks the buckets at each
observation. It also keeps files for each process that has ever counted, and must be informed when one has died.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal, NamedTuple, get_args

from gateway.errors import OUTCOMES, Outcome
from gateway.observability.shared_memory import Numbers, SharedCounters
from gateway.signatures.rejections import SIGNATURE_FAULTS, SignatureFault
from gateway.signatures.secrets import MAX_SECRETS

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds of the histogram of requests; 10 s is beyond the default ``server.deadline`` of 8 s."""

Incident = Literal["unchecked", "commit_failure", "replay_suspected", "id_body_mismatch"]
"""What is counted of an event beside its outcome."""

INCIDENTS: dict[Incident, tuple[str, str]] = {
    "unchecked": (
        "webhook_dedupe_unchecked",
        "Events published without a claim, because the deduplication store did not answer.",
    ),
    "commit_failure": (
        "webhook_claim_commit_failures",
        "Claims of published events that could not be committed; a retry may be published again.",
    ),
    "replay_suspected": (
        "webhook_replays_suspected",
        "Events published with a body seen before under another id, or with an id seen before with another body.",
    ),
    "id_body_mismatch": (
        "webhook_id_body_mismatches",
        "Duplicates whose body differs from that of the event first seen under their id.",
    ),
}
"""The name and the description of the counter of each incident."""


JournalStage = Literal["memory", "backlog", "refused", "list", "disk"]
"""Where an entry of the journal was dropped: it waited in a full memory, or for a reader that lags behind; it was about one
of too many requests that nobody proved, or one of too many events of a request; or the disk had no room for it."""

JOURNAL_STAGES: tuple[JournalStage, ...] = get_args(JournalStage)


class Gauge(NamedTuple):
    """A number of each process that is sampled, not counted.

    Attributes:
        name: The name of the metric.
        documentation: Its description.
        kind: How the values of all processes become one: ``sum``; ``farthest`` from zero; or ``counter``, a sum that
            goes on where a dead process ended.
        stage: The value of the label ``stage``; empty for a metric without it.
    """

    name: str
    documentation: str
    kind: Literal["sum", "farthest", "counter"] = "sum"
    stage: str = ""


GAUGES = (
    Gauge("webhook_processes", "Processes that are alive and not stuck."),
    Gauge("webhook_process_restarts", "Processes that replaced one that had ended.", "counter"),
    Gauge("webhook_connections", "Open connections of clients."),
    Gauge("webhook_requests_in_flight", "Requests that are being handled."),
    Gauge("webhook_publishes_unconfirmed", "Messages that wait for the broker's confirm."),
    Gauge("webhook_broker_unavailable", "Processes whose broker accepts no events at the moment."),
    Gauge(
        "webhook_limits_unshared",
        "Processes that count rate limits alone although server.limits is shared, because Redis is away.",
    ),
    Gauge("webhook_spooled", "Events that wait on disk for the broker."),
    Gauge(
        "webhook_spool_corrupt", "Rows of the spool that could not be read or published, and were set aside."
    ),
    Gauge(
        "webhook_clock_offset_seconds",
        "Offset of our clock from that of Redis; of all processes, the one farthest from zero.",
        "farthest",
    ),
    Gauge("webhook_log_lines_dropped", "Log lines dropped because nobody read them in time.", "counter"),
    *(
        Gauge(
            "webhook_journal_dropped",
            "Entries of the journal dropped, by the limit that they met.",
            "counter",
            stage,
        )
        for stage in JOURNAL_STAGES
    ),
)
"""All sampled numbers. A gateway reports those for which :meth:`Metrics.sample` was given a function."""

GAUGE_INDEX = {(gauge.name, gauge.stage): index for index, gauge in enumerate(GAUGES)}
"""The index of each gauge among the numbers of a process, by its name and stage."""

SAMPLED_AT = len(GAUGES)
"""The index of the time of the last sample, in seconds of the monotonic clock, which all processes share."""

_PER_PROCESS = len(GAUGES) + 1

EVENT_OUTCOMES = (Outcome.ACCEPTED, Outcome.QUARANTINED, Outcome.DUPLICATE, Outcome.IGNORED)
"""The final outcomes of an event. Other outcomes belong to requests, or mean that the provider sends the event again."""

EVENT_PREFIX = "event:"
"""The prefix of an event's outcome in :data:`COUNTER_INDEX`, which tells it from the same outcome of a request."""

_COUNTED = (
    *OUTCOMES,
    *(EVENT_PREFIX + outcome for outcome in EVENT_OUTCOMES),
    *SIGNATURE_FAULTS,
    *range(MAX_SECRETS),
    *get_args(Incident),
)
COUNTER_INDEX: dict[str | int, int] = {counted: index for index, counted in enumerate(_COUNTED)}
"""The index of each counter among the numbers of a provider."""

LATENCY = len(_COUNTED)
"""The index of the first bucket of the histogram of requests."""

LATENCY_SUM = LATENCY + len(LATENCY_BUCKETS) + 1
"""The index of the sum of all durations, in seconds. The bucket before it has no upper bound."""

SECRET_COUNT = LATENCY_SUM + 1
"""The index of the largest number of secrets that the provider has had since the start."""

PER_PROVIDER = SECRET_COUNT + 1
"""The length of the numbers of a provider."""

_EVENT_INDEX = {outcome: COUNTER_INDEX[EVENT_PREFIX + outcome] for outcome in EVENT_OUTCOMES}


def shared_counters(slots: int, descriptor: int | None = None) -> SharedCounters:
    """Allocate the numbers of ``slots`` processes, before they are forked; or map those at ``descriptor``, which may be ``PRIVATE``.

    Raises:
        ValueError: What is at ``descriptor`` was made by another version of this program.
    """
    return SharedCounters(slots, _PER_PROCESS, PER_PROVIDER, descriptor)


class ProviderMetrics:
    """The numbers of one provider in one process."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def count_outcome(self, outcome: str) -> None:
        """Count a request by its outcome, one of :data:`gateway.errors.OUTCOMES`."""
        self._numbers[COUNTER_INDEX[outcome]] += 1

    def count_event(self, outcome: Outcome) -> None:
        """Count an event by its outcome, one of :data:`EVENT_OUTCOMES`."""
        self._numbers[_EVENT_INDEX[outcome]] += 1

    def count_signature_failure(self, fault: SignatureFault) -> None:
        """Count a refused signature by its precise fault."""
        self._numbers[COUNTER_INDEX[fault]] += 1

    def count_secret_slot(self, slot: int) -> None:
        """Count a verified request by the position of the secret that matched."""
        self._numbers[COUNTER_INDEX[slot]] += 1

    def count(self, incident: Incident) -> None:
        """Count one of :data:`INCIDENTS`."""
        self._numbers[COUNTER_INDEX[incident]] += 1

    def observe_latency(self, seconds: float) -> None:
        """Add the duration of one request to the histogram."""
        numbers = self._numbers
        numbers[LATENCY + bisect_left(LATENCY_BUCKETS, seconds)] += 1
        numbers[LATENCY_SUM] += seconds
