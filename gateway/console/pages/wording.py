"""Outcomes in words and tones. A tone is always shown with its word: colour alone says nothing."""

from __future__ import annotations

from gateway.errors import REJECTIONS, Outcome

_REFUSALS = {rejection.reason: rejection.status for rejection in REJECTIONS}

_TONES = {
    Outcome.ACCEPTED: "good",
    Outcome.QUARANTINED: "warn",
    Outcome.DUPLICATE: "quiet",
    Outcome.IGNORED: "quiet",
    Outcome.HANDSHAKE: "info",
    "client_disconnected": "quiet",
    "published": "good",
    "handled": "good",
    "delivered": "good",
    "unhandled": "warn",
    "retried": "warn",
    "waiting": "info",
    "limited": "info",
    "in_flight": "info",
    "requeued": "warn",
    "unsettled": "warn",
    "dead": "bad",
    "failed": "bad",
}

_LABELS = {
    "dead": "dead-lettered",
    "in_flight": "in flight",
    "retried": "will retry",
    "limited": "rate-limited",
    "unhandled": "no handler",
    "client_disconnected": "client left",
}

STATE_TONES = {"good": "good", "busy": "info", "bad": "bad", "neutral": "quiet"}
"""The tones of :mod:`gateway.operations.event_models` as the style sheet names them."""

STATE_LABELS = {
    "handled": "Handled",
    "unhandled": "No handler",
    "waiting": "Waiting",
    "retrying": "Retrying",
    "dead_lettered": "Dead-lettered",
    "dead": "Dead",
    "quarantined": "Quarantined",
    "spooled": "Spooled",
    "ignored": "Ignored",
    "delivered": "Delivered",
    "dropped": "Dropped",
    "duplicate": "Duplicate",
    "refused": "Refused",
    "mixed": "Partly done",
    "unknown": "Published",
}

GROUPS = {
    "accepted": "good",
    "duplicate, ignored": "quiet",
    "quarantined": "warn",
    "refused": "bad",
    "unavailable": "info",
}
"""What the charts stack, from the bottom, with the tone of each."""


def tone_of(outcome: str, reason: str = "") -> str:
    """Return the tone of an outcome of a request, an attempt or an action."""
    if outcome == Outcome.ACCEPTED and reason == "spooled":
        return "warn"
    if outcome in _TONES:
        return _TONES[outcome]
    return "bad" if outcome in _REFUSALS else "info"


def label_of(outcome: str) -> str:
    """Return the words for an outcome."""
    return _LABELS.get(outcome, outcome.replace("_", " "))


def group_of(outcome: str) -> str:
    """Return the part of a chart that counts an outcome; empty for what no chart shows."""
    if outcome in {Outcome.ACCEPTED, Outcome.HANDSHAKE}:
        return "accepted"
    if outcome in {Outcome.DUPLICATE, Outcome.IGNORED}:
        return "duplicate, ignored"
    if outcome == Outcome.QUARANTINED:
        return "quarantined"
    if outcome in _REFUSALS:
        return "refused" if _REFUSALS[outcome] < 500 else "unavailable"
    return ""


def grouped(counts: dict[str, float]) -> dict[str, float]:
    """Sum outcomes into the parts of a chart."""
    sums: dict[str, float] = {}
    for outcome, number in counts.items():
        if number and (group := group_of(outcome)):
            sums[group] = sums.get(group, 0) + number
    return sums


def words_by_outcome() -> dict[str, tuple[str, str]]:
    """Return tone and label of the outcomes whose label is not the outcome itself, or whose tone is not the usual one."""
    known = dict.fromkeys([*_TONES, *_LABELS, *_REFUSALS])
    return {str(outcome): (tone_of(outcome), label_of(outcome)) for outcome in known}
