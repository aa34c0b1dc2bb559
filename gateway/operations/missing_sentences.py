"""What is said of an id that the journal does not have. No sentence claims more than was found."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from gateway.adapters import registry
from gateway.config import Config
from gateway.config.resolve import adapter_of, retention_of
from gateway.journal.query_language import format_moment
from gateway.operations.event_models import ProviderTrace
from gateway.operations.wording import ago, listed, span, times

_MAX_NAMED = 5
"""Providers or reasons that a sentence names."""


def facts_about(
    config: Config,
    traces: Sequence[ProviderTrace],
    begins_at: float | None,
    window: tuple[float, float],
    now: float,
    *,
    is_around: bool,
) -> Iterator[str]:
    """Yield what is known, one sentence each, the most telling first."""
    yield from _about_claims(config, traces)
    yield _about_journal(config, begins_at, now)
    when = (
        f"between {format_moment(int(window[0]))} and {format_moment(int(window[1]))}"
        if is_around
        else "in the last 24 hours"
    )
    for trace in traces:
        if trace.refusals:
            reasons = listed([f"{reason} {times(number)}" for reason, number in trace.refusals[:_MAX_NAMED]])
            yield f"Refused requests of {trace.title} {when}: {reasons}. The journal has no ids of refused requests."
        elif len(traces) == 1:
            yield f"The journal knows of no refused request of {trace.title} {when}."
    if len(traces) == 1:
        yield _about_last_event(traces[0], now)


def _about_claims(config: Config, traces: Sequence[ProviderTrace]) -> Iterator[str]:
    published = [trace for trace in traces if trace.claim == "published"]
    under_way = [trace for trace in traces if trace.claim == "in_flight"]
    unknown = [trace.title for trace in traces if trace.claim == "unknown"]
    for trace in published:
        yield (
            f"The deduplication store knows the id: {trace.title} sent it, and it was published. Its entry is older than "
            "the journal, was sampled out, or was dropped."
        )
    for trace in under_way:
        yield f"The deduplication store knows the id: an attempt to publish it for {trace.title} is under way."
    if published or under_way or not traces:
        return
    if unknown:
        yield f"Whether it was published before could not be found out for {listed(unknown[:_MAX_NAMED])}."
        return
    blocks = [config.providers[trace.provider] for trace in traces]
    retention = min(retention_of(config, block, adapter_of(block)) for block in blocks)
    yield (
        "The deduplication store does not know the id: as far as it remembers, it was not published in the last "
        f"{span(retention)}."
    )


def _about_journal(config: Config, begins_at: float | None, now: float) -> str:
    if not config.journal.enabled:
        return "The journal is off: journal.enabled is false."
    if begins_at is None:
        return "The journal is empty."
    share = config.journal.sample
    sampled = f", and keeps {share:.0%} of the accepted events" if share < 1 else ""
    return f"The journal begins at {format_moment(int(begins_at))}, {ago(begins_at, now)}{sampled}."


def _about_last_event(trace: ProviderTrace, now: float) -> str:
    if trace.last_event_at is None:
        return f"The journal has no event of {trace.title} at all."
    return f"The last event of {trace.title} came {ago(trace.last_event_at, now)}."


def next_steps(
    config: Config, traces: Sequence[ProviderTrace], event_id: str, provider: str
) -> Iterator[str]:
    """Yield what to do, one sentence each."""
    published = [trace for trace in traces if trace.claim == "published"]
    if published and config.archive.enabled:
        yield f"Look for it in the archive: `gateway replay --since 7d --id {shlex.quote(event_id)} --dry-run`."
    if not provider and len(config.providers) > 1 and not published:
        yield "Name the provider with --provider, so that its last event and its refusals are shown."
    for trace in traces if len(traces) == 1 else published:
        yield from _at_the_provider(config, trace)
    if not published:
        yield "If the provider has sent it and was refused, mend the cause and let the provider send it again."


def _at_the_provider(config: Config, trace: ProviderTrace) -> Iterator[str]:
    question = f"See at {trace.title} whether it sent the event, and what it was answered"
    if trace.setup:
        yield f"{question}; its webhooks are set up under {trace.setup}."
    elif trace.docs and config.providers[trace.provider].adapter != registry.GENERIC:
        yield f"{question}; its page on webhooks is {trace.docs}"
    else:
        yield f"{question}."
    if trace.refusals:
        yield f"See why its requests are refused: `gateway events list provider:{trace.provider} is:failed`."
