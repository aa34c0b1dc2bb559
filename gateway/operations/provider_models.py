"""The health of a provider over a window: the values that pages and the API show."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.operations.event_models import Tone


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        name: The outcome, the fault, or `p50` and `p99`.
        values: One a span; None where nothing is known.
    """

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same spans.

    Attributes:
        begins_at: The beginning of the first span, in Unix seconds.
        step: The length of a span, in seconds.
        series: The lines, the largest first.
    """

    begins_at: float
    step: float
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a provider has sent nothing.

    Attributes:
        seconds: Since its last event; None if the journal has none.
        usual: The gap that 99 of 100 of the last seven days were shorter than, in seconds; None for too few events, and
            while the silence is too short to matter.
        is_unusual: Whether the silence is more than five times as long, and over 15 minutes.
    """

    seconds: float | None
    usual: float | None
    is_unusual: bool


@dataclass(frozen=True, slots=True)
class Ages:
    """How old signed timestamps are when requests come.

    Attributes:
        tolerance: Seconds that they may be from our clock; None where none is signed.
        median: Seconds of the middle one of the last requests; None if there is none.
        largest: The one farthest from zero.
        looked_at: How many requests were looked at.
    """

    tolerance: float | None
    median: float | None
    largest: float | None
    looked_at: int


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """One provider over a window.

    Attributes:
        provider: Its key.
        title: Its name, as it writes it.
        adapter: The key of its adapter.
        path: The path at which it calls.
        tone: How it is.
        headline: How it is, in words.
        requests: Requests in the window.
        outcomes: Requests by outcome, most frequent first.
        events: Events by their final outcome.
        faults: Refused signatures by precise reason, most frequent first.
        per_second: Requests a second in the window.
        duplicate_share: The share of events that were repetitions; None without events.
        refused_share: The share of requests that were refused; None without requests.
        p50: Seconds within which half of the requests were answered; None without requests.
        p99: Seconds within which 99 of 100 were.
        last_event_at: When the last event came, in Unix seconds.
        silence: Whether it is silent for unusually long.
        ages: How old signed timestamps are.
        signed: What the signature covers, in words.
        chart: Requests by outcome over the window.
        latency: p50 and p99 over the window.
        problems: What is wrong, one sentence each.
    """

    provider: str
    title: str
    adapter: str
    path: str
    tone: Tone
    headline: str
    requests: int
    outcomes: tuple[tuple[str, int], ...]
    events: tuple[tuple[str, int], ...]
    faults: tuple[tuple[str, int], ...]
    per_second: float
    duplicate_share: float | None
    refused_share: float | None
    p50: float | None
    p99: float | None
    last_event_at: float | None
    silence: Silence
    ages: Ages
    signed: str
    chart: Chart
    latency: Chart
    problems: tuple[str, ...]
