"""The timeline of an event: each entry as a sentence, and entries alike folded into one.

The module is over 200 lines: it is the list of all that an entry can say, once in full and once in a few words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from gateway.errors import OUTCOMES, Outcome
from gateway.journal.entry import Entry, Kind
from gateway.operations.actions import Action
from gateway.operations.event_models import Stage, Step, Tone
from gateway.operations.wording import count, ordinal, sentence, span, times

MAX_UNFOLDED = 6
"""Attempts alike in a row that are shown one by one. Of more, the first two, the last two and a sum are shown."""

MAX_KEPT = 20
"""Entries that a folded step keeps, from both ends: a page does not show ten thousand."""

ACTIONS: dict[str, str] = {
    Action.REPLAYED: "Replayed",
    Action.RELEASED: "Released from the quarantine",
    Action.REDRIVEN: "Redriven from the dead-letter queue",
    Action.ROUTED: "Routed",
    Action.DROPPED: "Dropped",
    Action.FORGOTTEN: "Forgotten by the deduplication store",
    Action.SENT: "Sent as a test event",
    Action.DRAINED: "Published from the spool",
    Action.REDELIVERED: "Redelivered",
    Action.CANCELLED: "Its delivery was cancelled",
    Action.VIEWED: "Its payload was looked at",
}
"""What somebody did, by the outcome of the entry."""

TO_A_QUEUE = frozenset((Action.REDRIVEN, Action.REPLAYED, Action.ROUTED, Action.RELEASED))
"""Actions after which a queue has the event anew."""

_ATTEMPTS = {
    "handled": ("handled it at the {attempt} attempt{took}", "good"),
    "unhandled": ("has no handler for its type and acknowledged it", "neutral"),
    "duplicate": ("skipped it, because it had handled it before", "neutral"),
    "in_flight": ("deferred it, because another process was handling it", "busy"),
    "waiting": ("deferred it, because an earlier event of its order was not done", "busy"),
    "limited": ("deferred it, because of its rate limit", "busy"),
    "retried": ("failed at the {attempt} attempt{reason}{took}; it is tried again", "busy"),
    "dead": ("failed at the {attempt} attempt{reason}{took} and moved it to the dead-letter queue", "bad"),
    "requeued": ("returned it to the queue unfinished, because it was shutting down", "busy"),
    "unsettled": ("lost the connection to the broker before it could settle the event", "busy"),
}
"""What a worker did, by outcome."""

_DELIVERIES = {
    "delivered": ("took it at the {attempt} attempt{status}{took}", "good"),
    "retried": ("did not take it at the {attempt} attempt{status}{reason}{took}; it is tried again", "busy"),
    "failed": ("did not take it at the {attempt} attempt{status}{reason}{took}", "busy"),
    "dead": ("did not take it at the {attempt} attempt{status}{reason}{took}; the delivery is dead", "bad"),
}
"""What an endpoint did, by outcome."""

_BRIEFLY = {
    "retried": "failed",
    "dead": "dead-lettered",
    "in_flight": "deferred, in flight",
    "waiting": "deferred, out of order",
    "limited": "deferred, over the rate limit",
    "unhandled": "no handler",
    "duplicate": "skipped, handled before",
}
"""Outcomes of attempts in a list, where they are not the word itself."""

_COUNTED_ALONE = frozenset(("retried", "failed", "handled", "delivered", "dead"))
"""Outcomes of attempts with numbers of their own; others are folded as soon as there are two."""

_RECEIVED = {
    Outcome.ACCEPTED: ("accepted", "good"),
    Outcome.QUARANTINED: ("quarantined{detail}", "bad"),
    Outcome.DUPLICATE: ("recognised as a duplicate", "neutral"),
    Outcome.IGNORED: ("ignored, because the configuration does not select its type", "neutral"),
}

TitleOf = Callable[[str], str]
"""Returns the name of a provider by its key."""


def tone_of(entry: Entry) -> Tone:
    """Return how to colour an entry."""
    if entry.kind is Kind.RECEIVED:
        return _RECEIVED.get(entry.outcome, ("", "bad" if entry.outcome in OUTCOMES else "neutral"))[1]  # type: ignore[call-overload,no-any-return]
    if entry.kind in (Kind.HANDLED, Kind.DELIVERED):
        return _attempts_of(entry).get(entry.outcome, ("", "neutral"))[1]  # type: ignore[return-value]
    return "good" if entry.kind is Kind.PUBLISHED else "neutral"


def describe(entry: Entry, title_of: TitleOf = str) -> str:
    """Return what an entry says, as a sentence."""
    if entry.kind is Kind.RECEIVED:
        return sentence(_received(entry, title_of(entry.provider) or "an unknown provider"))
    if entry.kind is Kind.PUBLISHED:
        return "Published from the spool and confirmed by the broker."
    if entry.kind is Kind.ACTION:
        return sentence(_action(entry))
    return sentence(f"{_place_of(entry) or 'A worker'} {_attempt(entry)}")


def brief(entry: Entry) -> str:
    """Return what an entry says in a few words, for a list that has the provider, the type and the id already."""
    if entry.kind in (Kind.HANDLED, Kind.DELIVERED):
        is_dead_delivery = entry.outcome == "dead" and entry.kind is Kind.DELIVERED
        what = "dead" if is_dead_delivery else _BRIEFLY.get(entry.outcome, entry.outcome.replace("_", " "))
        attempt = f", attempt {entry.attempt:,}" if entry.attempt else ""
        return f"{_place_of(entry) or 'a worker'}: {what}{_status(entry)}{reason_of(entry)}{attempt}"
    if entry.kind is not Kind.RECEIVED:
        return describe(entry).removesuffix(".")
    outcome = "spooled" if entry.reason == "spooled" else entry.outcome.replace("_", " ")
    reason = "" if entry.reason in {"", "spooled", entry.outcome} else f": {entry.reason.replace('_', ' ')}"
    result = ", ".join(filter(None, (str(entry.status or ""), "" if entry.ms is None else _ms(entry.ms))))
    return f"{outcome}{reason}{_in_parentheses(entry.detail)}" + (f", {result}" if result else "")


def steps_of(entries: Sequence[Entry], title_of: TitleOf = str) -> tuple[Step, ...]:
    """Return the timeline of entries, which are sorted by the moments at which it shows them.

    Entries of the same place that follow each other and say the same are one step.
    """
    steps = sorted(_runs_as_steps(_runs(entries), title_of), key=lambda step: (step.at, step.entries[0].id))
    return tuple(_with_delays(steps))


def _runs(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return runs of entries alike. The entries of other places may be between them."""
    runs: list[list[Entry]] = []
    latest: dict[str, list[Entry]] = {}
    for entry in entries:
        place = f"{_stage_of(entry)}:{_place_of(entry)}"
        run = latest.get(place)
        if run is not None and _is_alike(run[-1], entry):
            run.append(entry)
        else:
            latest[place] = [entry]
            runs.append(latest[place])
    return runs


def _is_alike(one: Entry, other: Entry) -> bool:
    if one.kind is Kind.ACTION:
        return False
    return (one.kind, one.outcome, one.reason, one.status) == (
        other.kind,
        other.outcome,
        other.reason,
        other.status,
    )


def _runs_as_steps(runs: list[list[Entry]], title_of: TitleOf) -> Iterator[Step]:
    for run in runs:
        is_numbered = run[0].kind in (Kind.HANDLED, Kind.DELIVERED) and run[0].outcome in _COUNTED_ALONE
        if len(run) == 1 or (is_numbered and len(run) <= MAX_UNFOLDED):
            yield from (_step([entry], describe(entry, title_of)) for entry in run)
        elif is_numbered:
            yield from (_step([entry], describe(entry, title_of)) for entry in run[:2])
            yield _step(run[2:-2], _many(run[2:-2], title_of))
            yield from (_step([entry], describe(entry, title_of)) for entry in run[-2:])
        else:
            yield _step(run, _many(run, title_of))


def _step(run: list[Entry], text: str) -> Step:
    kept = run if len(run) <= MAX_KEPT else [*run[: MAX_KEPT // 2], *run[-MAX_KEPT // 2 :]]
    first, last = run[0], run[-1]
    return Step(
        at=first.placed_at,
        last_at=last.placed_at,
        stage=_stage_of(first),
        place=_place_of(first),
        text=text,
        tone=tone_of(first),
        times=len(run),
        detail=first.detail,
        trace=first.trace,
        entries=tuple(kept),
    )


def _with_delays(steps: list[Step]) -> Iterator[Step]:
    before: Step | None = None
    for step in steps:
        yield step if before is None else replace(step, delay=step.at - before.at)
        before = step


def _many(run: list[Entry], title_of: TitleOf) -> str:
    """Return what several entries alike say, as one sentence."""
    first, last = run[0], run[-1]
    within = f" within {span(last.at - first.at)}" if last.at - first.at >= 1 else ""
    if first.kind is Kind.RECEIVED:
        title = title_of(first.provider) or "an unknown provider"
        what = _RECEIVED.get(first.outcome, (f"answered {first.outcome}", ""))[0]  # type: ignore[call-overload]
        detail = _in_parentheses(first.detail)
        sent = "Sent again" if first.outcome == Outcome.DUPLICATE else "Sent"
        return sentence(
            f"{sent} {times(len(run))} by {title}{within}, each time {what.format(detail=detail)}{_status(first)}"
        )
    if first.outcome in _COUNTED_ALONE and first.attempt is not None and last.attempt is not None:
        place = _place_of(first) or "A worker"
        verb = "failed" if first.outcome in {"retried", "failed", "dead"} else first.outcome
        which = (
            f"attempts {first.attempt:,} to {last.attempt:,}"
            if last.attempt > first.attempt
            else count(len(run), "attempt")
        )
        return sentence(f"{place}: {which} {verb}{reason_of(first)}{within}")
    return sentence(f"{describe(first, title_of).removesuffix('.')}; {len(run):,} times{within}")


def _received(entry: Entry, title: str) -> str:
    if entry.outcome == Outcome.ACCEPTED and entry.reason == "spooled":
        what = "accepted into the spool, because the broker did not take it"
    elif entry.outcome in _RECEIVED:
        what = _RECEIVED[entry.outcome][0].format(detail=_in_parentheses(entry.detail))  # type: ignore[index]
    elif entry.outcome == Outcome.HANDSHAKE:
        what = "answered as a handshake"
    elif entry.outcome == "client_disconnected":
        return f"Begun by {title}, which closed the connection before the body was complete"
    else:
        what = f"refused: {entry.outcome}{reason_of(entry) if entry.reason != entry.outcome else ''}"
    took = f" in {_ms(entry.ms)}" if entry.ms is not None else ""
    return f"Received from {title} and {what}{_status(entry)}{took}"


def _action(entry: Entry) -> str:
    name = entry.outcome
    what = ACTIONS.get(name, name.replace("_", " ").capitalize())
    to = (
        f" to {entry.queue}"
        if entry.queue and name in {"replayed", "redriven", "redelivered", "routed"}
        else ""
    )
    source = f" from {entry.queue}" if entry.queue and name == "dropped" else ""
    by = f" by {entry.actor}" if entry.actor else ""
    return f"{what}{to}{source}{by}{_in_parentheses(entry.detail)}"


def _attempt(entry: Entry) -> str:
    template = _attempts_of(entry).get(entry.outcome, (f"reported {entry.outcome}", ""))[0]
    number = ordinal(entry.attempt) if entry.attempt else "same"
    if not entry.attempt:
        template = template.replace("at the {attempt} attempt", "").replace("  ", " ").rstrip()
    took = f" in {_ms(entry.ms)}" if entry.ms is not None else ""
    status = _status(entry) if entry.kind is Kind.DELIVERED else ""
    return template.format(attempt=number, reason=reason_of(entry), took=took, status=status)


def _attempts_of(entry: Entry) -> dict[str, tuple[str, str]]:
    return _DELIVERIES if entry.kind is Kind.DELIVERED else _ATTEMPTS


def reason_of(entry: Entry) -> str:
    """Return the reason of an entry in parentheses; nothing if there is none, or if the status of an answer says it all."""
    if entry.kind is not Kind.DELIVERED:
        return f" ({entry.reason})" if entry.reason else ""
    says_more = entry.reason and not (entry.reason == "status" and entry.status)
    return f" ({entry.reason.replace('_', ' ')})" if says_more else ""


def _status(entry: Entry) -> str:
    return f" with {entry.status}" if entry.status else ""


def _in_parentheses(text: str) -> str:
    return f" ({text})" if text else ""


def _ms(milliseconds: float) -> str:
    return span(max(milliseconds, 0.0) / 1000)


def _stage_of(entry: Entry) -> Stage:
    if entry.kind is Kind.RECEIVED:
        return "spool" if entry.reason == "spooled" and entry.outcome == Outcome.ACCEPTED else "gateway"
    return {Kind.PUBLISHED: "broker", Kind.HANDLED: "worker", Kind.DELIVERED: "endpoint"}.get(
        entry.kind, "action"
    )  # type: ignore[return-value]


def _place_of(entry: Entry) -> str:
    if entry.kind in (Kind.HANDLED, Kind.DELIVERED):
        return entry.queue
    return entry.actor if entry.kind is Kind.ACTION else entry.provider
