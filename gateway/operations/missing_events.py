"""The answer for an id that the journal does not have: what is known around it, and what to do next."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from gateway.adapters.spec import AdapterSpec
from gateway.backends import has_embedded_claims, open_claims
from gateway.claims import Claims, ClaimsUnavailable, Standing, claim_keys
from gateway.config import Config
from gateway.config.resolve import adapter_of
from gateway.errors import REJECTIONS, Outcome
from gateway.journal import Journal
from gateway.journal.entry import Kind
from gateway.journal.query import Query
from gateway.journal.spans import MINUTE
from gateway.operations.event_models import NotFound, ProviderTrace
from gateway.operations.missing_sentences import facts_about, next_steps
from gateway.operations.titles import title_of
from gateway.signatures.rejections import SIGNATURE_FAULTS, SignatureRejected
from gateway.transport.embedded import Database
from gateway.transport.readiness import wait_ready

CONNECT_TIMEOUT = 2.0
"""Seconds to wait for the deduplication store."""

DAY = 86_400.0

_AROUND = 3_600.0
"""Seconds before and after a moment in which refusals are counted."""

_PROVIDERS_ASKED = 50
"""Providers that are looked at if none is named."""

_SIMILAR = 200
"""Events among which similar ids are searched."""

_MIN_PREFIX = 6
"""Characters that a similar id has in common at least: all ids of a provider begin with the same few."""

_REFUSALS = frozenset(rejection.reason for rejection in REJECTIONS)
"""The outcomes of refused requests."""

_REFUSALS_READ = 1000
"""Entries of refused requests that are read."""

Claim = Literal["published", "in_flight", "none", "unknown"]


async def not_found(
    config: Config,
    journal: Journal,
    event_id: str,
    provider: str = "",
    *,
    now: float,
    around: float | None = None,
) -> NotFound:
    """Return what can be said of an id that the journal does not have.

    Args:
        config: The configuration.
        journal: The journal.
        event_id: The id.
        provider: The provider, if it is known.
        now: The time, in Unix seconds.
        around: When the event should have come; refusals are counted one hour before and after it. By default, those of
            the last 24 hours are.
    """
    window = (now - DAY, now) if around is None else (around - _AROUND, min(around + _AROUND, now))
    providers = [provider] if provider in config.providers else sorted(config.providers)[:_PROVIDERS_ASKED]
    claims = await _claims_of(config, providers, event_id)
    traces = await asyncio.to_thread(
        lambda: [_trace(config, journal, name, claims[name], window) for name in providers]
    )
    begins_at, similar = await asyncio.to_thread(
        lambda: (_begins_at(journal), _similar(journal, event_id, provider))
    )
    order: dict[Claim, int] = {"published": 0, "in_flight": 1}
    traces.sort(key=lambda trace: (order.get(trace.claim, 2), -(trace.last_event_at or 0)))
    return NotFound(
        event_id,
        _headline(provider, config),
        begins_at,
        window,
        tuple(traces),
        similar,
        tuple(facts_about(config, traces, begins_at, window, now, is_around=around is not None)),
        tuple(next_steps(config, traces, event_id, provider)),
    )


def _headline(provider: str, config: Config) -> str:
    if provider and provider not in config.providers:
        return f"The configuration has no provider {provider}, and the journal has no entry of this event."
    return "The journal has no entry of this event" + (
        f" of {title_of(config, provider)}." if provider else "."
    )


def _begins_at(journal: Journal) -> float | None:
    return journal.state().begins_at


def _trace(
    config: Config, journal: Journal, provider: str, claim: Claim, window: tuple[float, float]
) -> ProviderTrace:
    page = journal.find(
        Query(
            providers=(provider,), kinds=(Kind.RECEIVED,), outcomes=(Outcome.ACCEPTED, Outcome.QUARANTINED)
        ),
        limit=1,
    )
    last = page.entries[0] if page.entries else None
    refusals = _refusals(journal, provider, window)
    spec = _spec_of(config, provider)
    return ProviderTrace(
        provider,
        title_of(config, provider),
        last.at if last else None,
        last.event_id if last else "",
        tuple(refusals.most_common()),
        claim,
        spec.setup.page if spec.setup else "",
        spec.docs,
    )


def _refusals(journal: Journal, provider: str, window: tuple[float, float]) -> Counter[str]:
    """Return how many requests were refused, by reason: as counted, or as far as there are entries of them."""
    since, until = window
    counted: Counter[str] = Counter()
    step = max((until - since) // MINUTE, 1) * MINUTE
    for measure in ("outcome:", "fault:"):
        for point in journal.points(measure, since // MINUTE * MINUTE, until, step, provider):
            reason = point.measure.removeprefix(measure)
            # The faults say more than the one outcome that they share.
            if reason in SIGNATURE_FAULTS or (reason in _REFUSALS and reason != SignatureRejected.reason):
                counted[reason] += round(point.times)
    noted: Counter[str] = Counter()
    query = Query(
        providers=(provider,), kinds=(Kind.RECEIVED,), outcomes=tuple(_REFUSALS), since=since, until=until
    )
    for entry in journal.find(query, limit=_REFUSALS_READ).entries:
        noted[entry.reason or entry.outcome] += 1
    # Counters are sampled by the console alone; entries may be dropped in a flood.
    return +(counted | noted)


def _spec_of(config: Config, provider: str) -> AdapterSpec:
    return adapter_of(config.providers[provider]).spec


async def _claims_of(config: Config, providers: Sequence[str], event_id: str) -> dict[str, Claim]:
    """Return what the deduplication store has under the id for each provider; asks nobody for longer than two seconds."""
    if has_embedded_claims(config) and not Database(config.data_dir).path.exists():
        return dict.fromkeys(providers, "none")
    claims = open_claims(config, is_quiet=True)
    try:
        async with asyncio.timeout(2 * CONNECT_TIMEOUT):
            await claims.start()
            try:
                await wait_ready(lambda: not claims.unavailable_reason, CONNECT_TIMEOUT)
                return {name: await _claim_of(config, claims, name, event_id) for name in providers}
            finally:
                await claims.stop()
    except (TimeoutError, OSError):
        return dict.fromkeys(providers, "unknown")


async def _claim_of(config: Config, claims: Claims, provider: str, event_id: str) -> Claim:
    found: Claim = "none"
    try:
        for key in claim_keys(provider, event_id):
            standing = await claims.look_up(key)
            if standing is Standing.DONE:
                return "published"
            if standing is not None:
                found = "in_flight"
    except ClaimsUnavailable:
        return "unknown"
    # The claim is on the id together with what it is unique within, which nobody can know from the id alone.
    return "unknown" if found == "none" and _spec_of(config, provider).unique_within else found


def _similar(journal: Journal, event_id: str, provider: str) -> tuple[tuple[str, str], ...]:
    """Return recent events whose ids differ in upper and lower case, blanks or an end that was not copied."""
    wanted = event_id.strip().lower()
    if len(wanted) < _MIN_PREFIX:
        return ()
    query = Query(providers=(provider,) if provider else (), kinds=(Kind.RECEIVED,))
    found: dict[tuple[str, str], None] = {}
    for entry in journal.find(query, limit=_SIMILAR).entries:
        known = entry.event_id.lower()
        if known and (known.startswith(wanted) or (wanted.startswith(known) and len(known) >= _MIN_PREFIX)):
            found[entry.event_id, entry.provider] = None
    return tuple(found)[:5]
