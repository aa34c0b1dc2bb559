"""The evidence for a rotation: which secrets providers still sign with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.config import Config
from gateway.config.resolve import adapter_of, retention_of
from gateway.journal import JOURNAL_FOLDER, Journal
from gateway.journal.fingerprints import Fingerprints
from gateway.journal.query_language import format_moment
from gateway.journal.secret_history import SecretHistory, Seen
from gateway.operations.secret_matches import FORTNIGHT, Matches, matches_of
from gateway.operations.wording import ago, span, times

MIN_MATCHES = 20
"""Matches of another secret after which nobody doubts that the provider signs with that one."""

DAY = 86_400.0

Verdict = Literal["in_use", "quiet", "safe_to_remove", "never_used"]


@dataclass(frozen=True, slots=True)
class SecretEvidence:
    """What the journal knows of one configured secret. The secret itself is nowhere in it.

    Attributes:
        provider: The provider's key.
        slot: Its position in the configuration, from 0.
        fingerprint: The first 8 hex digits of an HMAC of it under a key of this gateway.
        configured_at: When it was first seen in the configuration, in Unix seconds.
        last_match_at: When a request last matched it; None if none did.
        last_day: Matches in 24 hours.
        last_fortnight: Matches in 14 days.
        verdict: What the evidence says.
        text: The verdict as a sentence, with the moment to wait for.
        safe_at: From when on it can be removed, in Unix seconds; None if it is in use or the only one.
    """

    provider: str
    slot: int
    fingerprint: str
    configured_at: float | None
    last_match_at: float | None
    last_day: int
    last_fortnight: int
    verdict: Verdict
    text: str
    safe_at: float | None


def secret_evidence(
    config: Config, journal: Journal, *, now: float, provider: str = ""
) -> list[SecretEvidence]:
    """Return the evidence for each configured secret, in the order of the configuration.

    The configuration has to be loaded with its secrets. Providers whose requests are verified with fetched keys have none.

    Raises:
        OSError: The journal cannot be read, or the key of the fingerprints can neither be read nor made.
    """
    folder = config.data_dir / JOURNAL_FOLDER
    fingerprints, history = Fingerprints(folder), SecretHistory(folder)
    evidence = []
    for name, configured in config.providers.items():
        if configured.secrets and provider in {"", name}:
            keys = [fingerprints.of(secret) for secret in configured.secret_texts()]
            matches = matches_of(journal, name, now=now, secrets=len(keys))
            seen = history.note({f"{name}/{key}": _last_of(matches, key) for key in keys}, now)
            by_key = {key: seen[f"{name}/{key}"] for key in keys}
            horizon = retention_of(config, configured, adapter_of(configured))
            evidence += [
                _judge(name, slot, key, by_key, matches, now=now, horizon=horizon)
                for slot, key in enumerate(keys)
            ]
    return evidence


def is_overdue(evidence: SecretEvidence, now: float, age: float = 30 * DAY) -> bool:
    """Return whether a secret can be removed, and was configured so many seconds ago or earlier."""
    return (
        evidence.verdict == "safe_to_remove"
        and evidence.configured_at is not None
        and now - evidence.configured_at > age
    )


def _last_of(matches: Mapping[str, Matches], key: str) -> float | None:
    return matches[key].last_at if key in matches else None


def _judge(
    provider: str,
    slot: int,
    key: str,
    seen: Mapping[str, Seen],
    matches: Mapping[str, Matches],
    *,
    now: float,
    horizon: float,
) -> SecretEvidence:
    own = matches.get(key, Matches([], 0.0))
    last = seen[key].last_match
    # The minute in which it was first seen began before that, and so says nothing.
    earlier = (span.at for span in own.spans[:1] if span.at + span.length <= seen[key].first)
    first = min([seen[key].first, *earlier])
    others = [matches[other] for other in seen if other != key and other in matches]
    # Matches of the others since this one was last of use, or since it came.
    since = first if last is None else last
    matched_since = sum(other.after(since) for other in others)
    is_only = len(seen) == 1
    safe_at = None if is_only else since + horizon
    verdict, text = _verdict(
        last, first, matched_since, now=now, horizon=horizon, is_only=is_only, last_of_others=_newest(others)
    )
    return SecretEvidence(
        provider=provider,
        slot=slot,
        fingerprint=key,
        configured_at=first,
        last_match_at=last,
        last_day=own.since(now - DAY),
        last_fortnight=own.since(now - FORTNIGHT),
        verdict=verdict,
        text=text,
        safe_at=safe_at if verdict in {"quiet", "safe_to_remove"} else None,
    )


def _newest(others: list[Matches]) -> float:
    return max((other.last_at for other in others), default=0.0)


def _verdict(
    last: float | None,
    first: float,
    matched_since: int,
    *,
    now: float,
    horizon: float,
    is_only: bool,
    last_of_others: float,
) -> tuple[Verdict, str]:
    if last is None:
        others = "" if is_only or not last_of_others else ", while the provider signs with another one"
        return (
            "never_used",
            f"Never used: nothing has matched it since it was first seen, {ago(first, now)}{others}.",
        )
    if is_only:
        quiet = now - last > horizon
        text = f"The only secret; it last matched {ago(last, now)}."
        return ("quiet", text) if quiet else ("in_use", f"In use: {text[:1].lower()}{text[1:]}")
    if not matched_since:
        return "in_use", f"In use: it last matched {ago(last, now)}, and no other one has since."
    safe_at = last + horizon
    since = f"since {format_moment(int(last))}"
    if now < safe_at:
        until = format_moment(int(safe_at))
        text = f"Quiet {since}; wait until {until}, because the provider may repeat what it sent for {span(horizon)}."
        return "quiet", text
    if matched_since < MIN_MATCHES:
        text = f"Quiet {since}; wait until another secret has matched {MIN_MATCHES} times, so far {times(matched_since)}."
        return "quiet", text
    text = (
        f"Safe to remove: quiet {since}, longer than the provider repeats ({span(horizon)}), while another one has matched "
        f"{times(matched_since)}."
    )
    return "safe_to_remove", text
