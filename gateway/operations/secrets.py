"""The evidence for a rotation: which secrets providers still sign with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.config import Config
from gateway.journal import Journal

Verdict = Literal["in_use", "quiet", "safe_to_remove", "never_used"]


@dataclass(frozen=True, slots=True)
class SecretEvidence:
    """What the journal knows of one configured secret. The secret itself is nowhere in it.

    Attributes:
        provider: The provider's key.
        slot: Its position in the configuration, from 0.
        fingerprint: The first 8 hex digits of an HMAC of it under a key of this gateway.
        configured_at: When it was first seen in the configuration, in Unix seconds; None if that is not known.
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
    """Return the evidence for each configured secret, in the order of the configuration."""
    raise NotImplementedError
