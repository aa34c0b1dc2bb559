"""The health of each provider over a window: rates, refusals, latency, silence.

The module has slightly more than 200 lines because the sentences about a provider stand beside its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from gateway.adapters.spec import AdapterSpec
from gateway.config import Config
from gateway.config.resolve import adapter_of, deadline_of
from gateway.devtools.provider_reference import coverage
from gateway.errors import OperatorError, Outcome
from gateway.journal import Journal
from gateway.journal.entry import Entry, Kind
from gateway.journal.query import FAILURES, Query
from gateway.operations.event_models import Tone
from gateway.operations.provider_models import Ages, Chart, ProviderHealth, Series, Silence
from gateway.operations.provider_numbers import (
    chart_of,
    latency_chart,
    named,
    quantile,
    silence_of,
    step_of,
    sums_of,
)
from gateway.operations.titles import title_of
from gateway.operations.wording import ago, count, listed, span

__all__ = [
    "Ages", "Chart", "ProviderHealth", "Series", "Silence", "all_providers", "provider_health",
]  # fmt: skip

DAY = 86_400.0

_EVENT_OUTCOMES = (Outcome.ACCEPTED, Outcome.QUARANTINED, Outcome.DUPLICATE, Outcome.IGNORED)

_LOOKED_AT = 200
"""Requests whose signed timestamps are looked at."""

_MIN_REQUESTS = 20
"""Requests below which a share says nothing."""

_MAX_REFUSED = 0.05
"""The share of refused requests from which on it is a problem."""

_NEAR_TOLERANCE = 0.8
"""The part of the tolerance beyond which a signed timestamp is nearly too old."""

_SLOW = 0.5
"""The part of the provider's own timeout beyond which answers are slow."""

_HINTS = {
    "signature_mismatch": "the configured secret is not the one that it signs with, or something changes the body on its way",
    "signature_missing": "it does not sign, a proxy drops the header, or somebody else calls this address",
    "timestamp_too_old": "its requests come late, or this machine's clock is ahead",
    "timestamp_in_future": "this machine's clock is behind, or that of the provider is ahead",
    "body_too_large": "its bodies are larger than max_body",
    "rate_limited": "it sends more than rate_limit allows",
    "ip_not_allowed": "it calls from an address outside allow_ips",
}
"""What a reason most often means."""


def provider_health(
    config: Config, journal: Journal, provider: str, *, now: float, window: float = DAY
) -> ProviderHealth:
    """Return how a provider is.

    Raises:
        OperatorError: The configuration has no such provider.
        OSError: The journal cannot be read.
    """
    if provider not in config.providers:
        raise OperatorError(
            f"the configuration has no provider {provider!r}; it has {listed(sorted(config.providers))}"
        )
    configured = config.providers[provider]
    adapter = adapter_of(configured)
    step = step_of(window)
    since = (now - window) // step * step
    points = [
        point
        for measures in ("outcome:", "event:", "fault:", "latency:")
        for point in journal.points(measures, since, now, step, provider)
    ]
    sums = sums_of(points)
    outcomes, events, faults = named(sums, "outcome:"), named(sums, "event:"), named(sums, "fault:")
    requests, published = sum(times for _, times in outcomes), sum(times for _, times in events)
    refused = sum(
        times for outcome, times in outcomes if outcome in FAILURES and outcome != Outcome.QUARANTINED
    )
    latest = _latest_events(journal, provider)
    last_event_at = latest[0].at if latest else None
    silence = silence_of(journal, provider, last_event_at, now)
    ages = _ages(latest, adapter.spec)
    p99 = quantile(sums, 0.99)
    signed, not_signed = coverage(adapter.spec)
    problems = [
        *_refusals(requests, refused, outcomes, faults, window),
        *_silences(silence),
        *_late_timestamps(ages),
        *_slow_answers(p99, adapter.spec, deadline_of(config, adapter)),
    ]
    return ProviderHealth(
        provider=provider,
        title=title_of(config, provider),
        adapter=configured.adapter,
        path=configured.path or f"/webhooks/{provider}",
        tone=_tone(requests, problems, last_event_at),
        headline=problems[0] if problems else _headline(requests, last_event_at, window, now),
        requests=requests,
        outcomes=outcomes,
        events=events,
        faults=faults,
        per_second=requests / window,
        duplicate_share=dict(events).get(Outcome.DUPLICATE, 0) / published if published else None,
        refused_share=refused / requests if requests else None,
        p50=quantile(sums, 0.5),
        p99=p99,
        last_event_at=last_event_at,
        silence=silence,
        ages=ages,
        signed=f"Signed: {', '.join(signed) or 'nothing'}."
        + (f" Not signed: {', '.join(not_signed)}." if not_signed else ""),
        chart=chart_of(points, "outcome:", since, now, step),
        latency=latency_chart(points, since, now, step),
        problems=tuple(problems),
    )


def all_providers(
    config: Config, journal: Journal, *, now: float, window: float = DAY
) -> list[ProviderHealth]:
    """Return how each provider is, those with problems first, then the busiest."""
    found = [provider_health(config, journal, name, now=now, window=window) for name in config.providers]
    return sorted(found, key=lambda health: (not health.problems, -health.requests, health.provider))


def _latest_events(journal: Journal, provider: str) -> list[Entry]:
    query = Query(providers=(provider,), kinds=(Kind.RECEIVED,), outcomes=_EVENT_OUTCOMES)
    return journal.find(query, limit=_LOOKED_AT).entries


def _ages(latest: list[Entry], spec: AdapterSpec) -> Ages:
    tolerance = spec.signature.timestamp_tolerance if spec.signature.has_timestamp else None
    if tolerance is None:
        return Ages(None, None, None, 0)
    found = [entry.age for entry in latest if entry.age is not None]
    if not found:
        return Ages(tolerance, None, None, 0)
    return Ages(tolerance, median(found), max(found, key=abs), len(found))


def _tone(requests: int, problems: list[str], last_event_at: float | None) -> Tone:
    if problems:
        return "bad"
    return "good" if requests and last_event_at is not None else "neutral"


def _headline(requests: int, last_event_at: float | None, window: float, now: float) -> str:
    if last_event_at is None:
        return f"{count(requests, 'request')} and no event yet." if requests else "Nothing has come yet."
    last = f"the last event came {ago(last_event_at, now)}"
    if not requests and now - last_event_at < window:
        return f"Nothing has been counted yet; {last}."  # the counters are sampled by the console, every ten seconds
    if not requests:
        return f"No request in the last {span(window)}; {last}."
    return f"{count(requests, 'request')} in the last {span(window)}; {last}."


def _refusals(
    requests: int,
    refused: int,
    outcomes: tuple[tuple[str, int], ...],
    faults: tuple[tuple[str, int], ...],
    window: float,
) -> Iterator[str]:
    if requests < _MIN_REQUESTS or refused <= _MAX_REFUSED * requests:
        return
    of_outcomes = [
        each
        for each in outcomes
        if each[0] in FAILURES and each[0] not in {"invalid_signature", "quarantined"}
    ]
    reasons = sorted((*faults, *of_outcomes), key=lambda reason: -reason[1])
    most = f", most of them for {reasons[0][0]}" if reasons else ""
    hint = f": {_HINTS[reasons[0][0]]}" if reasons and reasons[0][0] in _HINTS else ""
    yield f"{refused:,} of {count(requests, 'request')} in the last {span(window)} were refused{most}{hint}."


def _silences(silence: Silence) -> Iterator[str]:
    if silence.is_unusual and silence.seconds is not None and silence.usual is not None:
        yield (
            f"Silent for {span(silence.seconds)}, which is unusual: 99 of 100 gaps of the last week were shorter than "
            f"{span(silence.usual)}. See at the provider whether its webhook is still enabled."
        )


def _late_timestamps(ages: Ages) -> Iterator[str]:
    if ages.tolerance and ages.largest is not None and abs(ages.largest) > _NEAR_TOLERANCE * ages.tolerance:
        which = "old" if ages.largest > 0 else "in the future"
        yield (
            f"A signed timestamp was {span(abs(ages.largest))} {which} when its request came, near the tolerance of "
            f"{span(ages.tolerance)}: compare this machine's clock, or raise tolerance."
        )


def _slow_answers(p99: float | None, spec: AdapterSpec, deadline: float) -> Iterator[str]:
    limit = spec.patience or deadline
    if p99 is not None and p99 > _SLOW * limit:
        yield (
            f"One answer in a hundred takes more than {span(p99)}, and the provider waits for {span(limit)} before it "
            "counts as failed: see which of broker and deduplication store is slow."
        )
