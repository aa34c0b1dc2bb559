"""The verdict on a captured request, in a few sentences."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.devtools.explain.case import Case, Proof, is_proven, judge
from gateway.devtools.explain.hypotheses import hypotheses
from gateway.signatures.schemes.fetched_keys import KeyNeeded

_FAULTS = {
    "signature_missing": "it carries no signature where its sender puts one",
    "signature_ambiguous": "what its signature is made of stands there more than once",
    "signature_malformed": "its signature is not written as its sender writes it",
    "signature_mismatch": "its signature is not the one of this request and these secrets",
    "too_many_signatures": "it carries more signatures than any sender sends",
    "signed_header_missing": "a header is missing that its sender signs",
    "timestamp_missing": "its timestamp is missing",
    "timestamp_malformed": "its timestamp is none that its sender writes",
    "timestamp_too_old": "its signature has expired",
    "timestamp_in_future": "its signature is of the future",
    "malformed_request": "a header stands there more than once",
}


MAX_SECONDS = 60.0
"""Processor time after which no more mistakes are tried; a request that was made up to be slow must not take for ever."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a request.

    Attributes:
        is_verified: whether it verifies, an old capture as of its own time.
        lines: why, or why not and what to do about it; without any signature or secret.
    """

    is_verified: bool
    lines: list[str]


def explain(
    case: Case,
    now: float,
    arrived_at: float | None = None,
    work_clock: Callable[[], float] = time.process_time,
) -> Explanation:
    """Why a request verifies or does not.

    Args:
        case: the request, and what it is verified with.
        now: the present, in Unix seconds.
        arrived_at: when the request came, where that is known; else it is judged as of its own time.
        work_clock: seconds that were worked, by which the search is bounded.
    """
    give_up_at = work_clock() + MAX_SECONDS
    try:
        verdict = judge(case, now)
    except KeyNeeded as needed:
        return Explanation(
            False, [f"It cannot be judged offline: its key is fetched from {needed.request.url}."]
        )
    if isinstance(verdict, Proof):
        return _of_proof(case, verdict, now, arrived_at)
    text = _FAULTS.get(verdict, "it is refused")
    lines = [f"It does not verify ({verdict}): {text}."]
    for hypothesis in hypotheses(case):
        if work_clock() > give_up_at:
            return Explanation(
                False, [*lines, "Not all usual mistakes were tried: the request is too large."]
            )
        if is_proven(hypothesis.case, now):
            return Explanation(False, [*lines, f"Found: {hypothesis.what}.", hypothesis.remedy])
    return Explanation(False, [*lines, _of_nothing(verdict)])


def _of_proof(case: Case, proof: Proof, now: float, arrived_at: float | None) -> Explanation:
    which = f", with secret {proof.slot + 1} of {len(case.secrets)}" if len(case.secrets) > 1 else ""
    if (moment := proof.moment) is None:
        return Explanation(
            True, [f"It verifies{which}. It carries no time, so that a repetition verifies too."]
        )
    line = f"Its signature is right{which}; it is {_validity(proof)}"
    judged_at = now if arrived_at is None else arrived_at
    distance = int(judged_at) - moment
    if proof.is_current(judged_at):
        return Explanation(True, [f"{line}. It verifies."])
    if arrived_at is None and distance > 0:
        return Explanation(
            True,
            [
                f"{line}. As of then it verifies; by now it is {distance} s old.",
                "If it was refused when it came, say when that was with --at.",
            ],
        )
    side, clock = ("after", "ahead") if distance > 0 else ("before", "behind")
    late = "it was delivered late, or " if distance > 0 else ""
    then = "this machine's clock shows" if arrived_at is None else "it arrived at"
    found = f"{line}, but {then} {_moment(judged_at)}, {abs(distance)} s {side} that."
    remedy = (
        f"So {late}the receiver's clock is {clock} by some {abs(distance)} s, or the sender's is the other way; "
        "synchronise both with NTP."
    )
    return Explanation(False, [found, remedy])


def _validity(proof: Proof) -> str:
    if proof.since is None or proof.until is None:
        return f"accepted {'until' if proof.since is None else 'from'} {_moment(proof.moment or 0)}"
    tolerance = (proof.until - proof.since) // 2
    return f"of {_moment(proof.moment or 0)} and accepted within {tolerance} s of that"


def _of_nothing(fault: str) -> str:
    if fault in {"signature_missing", "timestamp_missing", "signed_header_missing"}:
        return (
            "No other header has it. Either the sender does not sign (is a secret set there?), a proxy drops the "
            "header, or this is another sender."
        )
    return (
        "No single mistake that is known here explains it. Most likely the secret is another one than the sender has "
        "for this address; else the body has lost its bytes in more ways than one."
    )


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
