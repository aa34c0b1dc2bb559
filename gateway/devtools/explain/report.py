"""The explanation of a captured request, in a few sentences."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.devtools.explain.case import Case, Proof, is_proven, verify
from gateway.devtools.explain.hypotheses import hypotheses
from gateway.devtools.formatting import format_time
from gateway.signatures.schemes.fetched_keys import KeyNeeded

_FAULTS = {
    "signature_missing": "the signature is missing",
    "signature_ambiguous": "a header or field of the signature is repeated",
    "signature_malformed": "the signature does not have the provider's format",
    "signature_mismatch": "it does not match this request and the configured secrets",
    "too_many_signatures": "there are more signatures than any provider sends",
    "signed_header_missing": "a signed header is missing",
    "timestamp_missing": "the timestamp is missing",
    "timestamp_malformed": "the timestamp does not have the provider's format",
    "timestamp_too_old": "the signature has expired",
    "timestamp_in_future": "the timestamp is in the future",
    "malformed_request": "a header is repeated",
}

MAX_SECONDS = 60.0
"""CPU time after which no more mistakes are tried, so that a request made to be slow cannot take forever."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The result for one request.

    Attributes:
        is_verified: Whether the signature is valid; an old capture is verified as of its own time.
        lines: The reason and the remedy, without any signature or secret.
    """

    is_verified: bool
    lines: list[str]


def explain(
    case: Case,
    now: float,
    arrived_at: float | None = None,
    work_clock: Callable[[], float] = time.process_time,
) -> Explanation:
    """Explain why a request passes or fails verification.

    Args:
        case: The request, and what to verify it with.
        now: The current time, in Unix seconds.
        arrived_at: When the request arrived, if known; otherwise it is verified as of its own time.
        work_clock: Returns the CPU time used, in seconds, which bounds the search.
    """
    deadline = work_clock() + MAX_SECONDS
    try:
        result = verify(case, now)
    except KeyNeeded as needed:
        return Explanation(
            False, [f"Cannot verify offline: the key has to be fetched from {needed.request.url}."]
        )
    if isinstance(result, Proof):
        return _explain_proof(case, result, now, arrived_at)
    text = _FAULTS.get(result, "the request is rejected")
    lines = [f"Invalid signature ({result}): {text}."]
    for hypothesis in hypotheses(case):
        if work_clock() > deadline:
            return Explanation(
                False, [*lines, "Not all common mistakes were tried: the request is too large."]
            )
        if is_proven(hypothesis.case, now):
            return Explanation(False, [*lines, f"Found: {hypothesis.what}.", hypothesis.remedy])
    return Explanation(False, [*lines, _explain_failure(result)])


def _explain_proof(case: Case, proof: Proof, now: float, arrived_at: float | None) -> Explanation:
    which = f" with secret {proof.slot + 1} of {len(case.secrets)}" if len(case.secrets) > 1 else ""
    if (signed_at := proof.signed_at) is None:
        return Explanation(
            True, [f"The signature is valid{which}. It has no timestamp, so a replayed request is valid too."]
        )
    line = f"The signature is valid{which}; it {_validity(proof)}"
    verified_at = now if arrived_at is None else arrived_at
    distance = int(verified_at) - signed_at
    if proof.is_current(verified_at):
        return Explanation(True, [f"{line}. The request passes verification."])
    if arrived_at is None and distance > 0:
        return Explanation(
            True,
            [
                f"{line}. The request passed verification at that time; it is now {distance} s old.",
                "If it was rejected when it arrived, pass the time of arrival with --at.",
            ],
        )
    side, ours, theirs = ("later", "ahead", "behind") if distance > 0 else ("earlier", "behind", "ahead")
    late = "it was delivered late, or " if distance > 0 else ""
    then = "this machine's clock shows" if arrived_at is None else "it arrived at"
    found = f"{line}, but {then} {format_time(verified_at)}, {abs(distance)} s {side}."
    remedy = (
        f"Either {late}the receiver's clock is {ours} by about {abs(distance)} s, or the provider's clock is {theirs}; "
        "synchronize both with NTP."
    )
    return Explanation(False, [found, remedy])


def _validity(proof: Proof) -> str:
    if proof.since is None or proof.until is None:
        return f"is accepted {'until' if proof.since is None else 'from'} {format_time(proof.signed_at or 0)}"
    tolerance = (proof.until - proof.since) // 2
    return f"was made at {format_time(proof.signed_at or 0)} and is accepted within {tolerance} s of that"


def _explain_failure(fault: str) -> str:
    if fault in {"signature_missing", "timestamp_missing", "signed_header_missing"}:
        return (
            "No other header contains it. Either the provider does not sign (is a secret set there?), a proxy drops the "
            "header, or the request is from somebody else."
        )
    return (
        "No single known mistake explains it. Most likely the configured secret is not the one that the provider uses for "
        "this URL; otherwise the body was changed in more than one way."
    )
