"""What is counted and where: every number has its place in memory that all workers share.

Counting is adding to such a number. The client library's own counters and histograms take locks and walk their
buckets at every request, and know one process.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal, NamedTuple, get_args

from gateway.errors import OUTCOMES, Outcome
from gateway.observability.shared_memory import Numbers, SharedCounters
from gateway.signatures.rejections import SIGNATURE_FAULTS, SignatureFault
from gateway.signatures.secrets import MAX_SECRETS

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

Incident = Literal["unchecked", "commit_failure", "replay_suspected", "id_body_mismatch"]
"""What can happen to an event besides its outcome."""

INCIDENTS: dict[Incident, tuple[str, str]] = {
    "unchecked": (
        "webhook_dedupe_unchecked",
        "Events published without a claim, because the claim store did not answer.",
    ),
    "commit_failure": (
        "webhook_claim_commit_failures",
        "Claims of published events that could not be marked as done; a repetition may be published again.",
    ),
    "replay_suspected": (
        "webhook_replays_suspected",
        "Events published with a body that was seen before under another id, or under an id that was seen with another body.",
    ),
    "id_body_mismatch": (
        "webhook_id_body_mismatches",
        "Duplicates whose body is not that of the event first seen under their id.",
    ),
}
"""The counter of each: its name and its description."""


class Gauge(NamedTuple):
    """A number of each worker that is read from time to time, not counted.

    Attributes:
        name: of the metric.
        documentation: its description.
        kind: how the readings of all workers become one: ``sum``, ``farthest`` from zero, or a ``counter``, which
            goes on where a dead worker's ended.
    """

    name: str
    documentation: str
    kind: Literal["sum", "farthest", "counter"] = "sum"


READINGS = (
    Gauge("webhook_processes", "Processes that are alive and not stuck."),
    Gauge("webhook_process_restarts", "Processes that replaced one that had ended.", "counter"),
    Gauge("webhook_connections", "Open connections of senders."),
    Gauge("webhook_requests_in_flight", "Requests that are being handled."),
    Gauge("webhook_publishes_unconfirmed", "Messages that wait for the broker's confirm."),
    Gauge("webhook_broker_unavailable", "Processes whose broker accepts no events at the moment."),
    Gauge("webhook_spooled", "Events that wait on disk for the broker."),
    Gauge("webhook_spool_corrupt", "Rows of the spool that could not be read and were set aside."),
    Gauge("webhook_clock_offset_seconds", "How far our clock is from that of Redis, at worst.", "farthest"),
    Gauge("webhook_log_lines_dropped", "Log lines lost because nobody read them in time.", "counter"),
)
"""Those that a gateway has, if :meth:`Metrics.sample` was told how to read them."""

PLACE = {reading.name: place for place, reading in enumerate(READINGS)}
"""Where each is among the numbers of a worker, and behind them:"""
REFRESHED_AT = len(READINGS)
"""when they were last read, in seconds of the monotonic clock, which is one for all processes."""
_PER_WORKER = len(READINGS) + 1

EVENT_OUTCOMES = (Outcome.ACCEPTED, Outcome.QUARANTINED, Outcome.DUPLICATE, Outcome.IGNORED)
"""What can become of an event; other outcomes are of requests, or mean that the event comes again."""


EVENT_PREFIX = "event:"
"""What stands before an outcome of events, to tell it from one of requests."""

_COUNTED = (
    *OUTCOMES,
    *(EVENT_PREFIX + outcome for outcome in EVENT_OUTCOMES),
    *SIGNATURE_FAULTS,
    *range(MAX_SECRETS),
    *get_args(Incident),
)
AT: dict[str | int, int] = {counted: place for place, counted in enumerate(_COUNTED)}
"""Where each counter is among the numbers of a provider, and behind them:"""
LATENCY = len(_COUNTED)
"""how many requests fell into each bucket,"""
LATENCY_SUM = LATENCY + len(LATENCY_BUCKETS) + 1
"""how long all of them took, in seconds,"""
SECRET_COUNT = LATENCY_SUM + 1
"""and the most secrets that the provider has had."""
PER_PROVIDER = SECRET_COUNT + 1


_EVENT_AT = {outcome: AT[EVENT_PREFIX + outcome] for outcome in EVENT_OUTCOMES}


def shared_tallies(slots: int) -> SharedCounters:
    """The numbers of so many workers; they share them if this is called before they are forked."""
    return SharedCounters(slots, _PER_WORKER, PER_PROVIDER)


class ProviderMetrics:
    """The numbers of one provider."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def count_outcome(self, outcome: str) -> None:
        """Count how one request ended, one of :data:`gateway.errors.OUTCOMES`."""
        self._numbers[AT[outcome]] += 1

    def count_event(self, outcome: Outcome) -> None:
        """Count what became of an event, one of :data:`EVENT_OUTCOMES`."""
        self._numbers[_EVENT_AT[outcome]] += 1

    def count_signature_failure(self, fault: SignatureFault) -> None:
        """Count one refused signature by its precise reason."""
        self._numbers[AT[fault]] += 1

    def count_secret_slot(self, slot: int) -> None:
        """Count one verified request by the position of the secret that matched."""
        self._numbers[AT[slot]] += 1

    def count(self, incident: Incident) -> None:
        """Count one of :data:`INCIDENTS`."""
        self._numbers[AT[incident]] += 1

    def observe_latency(self, seconds: float) -> None:
        """Count how long one request took."""
        numbers = self._numbers
        numbers[LATENCY + bisect_left(LATENCY_BUCKETS, seconds)] += 1
        numbers[LATENCY_SUM] += seconds
