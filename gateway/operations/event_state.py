"""How an event stands, in one word and in one sentence, from the entries of its timeline.

A sentence says what entries say and no more. An entry may be missing: it was sampled out, dropped, lost with a process,
or is older than the journal. So a missing report is never taken for something that did not happen.

The module is over 200 lines: it is the list of all sentences, which have to agree with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import Outcome
from gateway.journal.entry import Entry, Kind
from gateway.operations.actions import Action
from gateway.operations.event_models import State, Tone
from gateway.operations.event_places import Place, places_of
from gateway.operations.event_steps import ACTIONS, TO_A_QUEUE, TitleOf, reason_of
from gateway.operations.wording import ago, capital, count, ordinal, sentence, span, times

_DEFERRED = {
    "in_flight": "another process was handling it",
    "waiting": "an earlier event of its order was not done",
    "limited": "its rate limit was reached",
    "requeued": "its process was shutting down",
    "unsettled": "it lost the connection to the broker",
}

_NO_CHANGES = frozenset((Action.VIEWED, Action.DRAINED))
"""Actions that change nothing, or that an entry of another kind tells of as well."""

_LONG_RETRY = 7_200.0
"""Seconds without a report after which a retry may have been missed: the longest delay of the backoff is an hour."""

_TONES: dict[State, Tone] = {
    "handled": "good", "delivered": "good", "unhandled": "neutral", "waiting": "busy", "retrying": "busy",
    "spooled": "busy", "dead_lettered": "bad", "dead": "bad", "quarantined": "bad", "refused": "bad", "ignored": "neutral",
    "duplicate": "neutral", "dropped": "neutral", "mixed": "bad", "unknown": "neutral",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """How an event stands.

    Attributes:
        state: In one word.
        tone: How to colour it.
        headline: In words.
        notes: What the journal cannot know, or what is odd.
        places: The queues and endpoints.
        requests: How many requests brought it.
        is_in_quarantine: Whether it may be in the quarantine still.
        is_spooled: Whether it may be in the spool still.
        has_receipt: Whether the journal has the entry of its receipt.
    """

    state: State
    tone: Tone
    headline: str
    notes: tuple[str, ...]
    places: tuple[Place, ...]
    requests: int
    is_in_quarantine: bool
    is_spooled: bool
    has_receipt: bool


def standing_of(
    entries: Sequence[Entry], title_of: TitleOf, *, now: float, is_sampled: bool = False
) -> Standing:
    """Return how an event stands.

    Args:
        entries: Its timeline, oldest first; at least one.
        title_of: Returns the name of a provider.
        now: The time, in Unix seconds.
        is_sampled: Whether the journal keeps a part of the accepted events only.
    """
    return _Reading(entries, title_of, now, is_sampled=is_sampled).standing()


class _Reading:
    def __init__(self, entries: Sequence[Entry], title_of: TitleOf, now: float, *, is_sampled: bool) -> None:
        self._now = now
        self._is_sampled = is_sampled
        self._actions = [
            entry for entry in entries if entry.kind is Kind.ACTION and entry.outcome not in _NO_CHANGES
        ]
        self._requests = [entry for entry in entries if entry.kind is Kind.RECEIVED]
        self._published = [
            entry for entry in entries if entry.kind is Kind.PUBLISHED or entry.outcome == Action.DRAINED
        ]
        provider = entries[0].provider
        self._title = title_of(provider) or provider or "The provider"
        taken = [
            entry for entry in self._requests if entry.outcome in {Outcome.ACCEPTED, Outcome.QUARANTINED}
        ]
        self._receipt = taken[0] if taken else None
        self._accepted = [entry for entry in taken if entry.outcome == Outcome.ACCEPTED]
        self._places = places_of(entries)
        self._skew = self._clock_skew()

    def standing(self) -> Standing:
        state = self._state()
        told = [self._headline(state)]
        if len(self._requests) > 1:
            least = "at least " if self._is_sampled or self._receipt is None else ""
            told.append(f"{self._title} sent it {least}{times(len(self._requests))}.")
        return Standing(
            state,
            _TONES[state],
            " ".join(told),
            tuple(self._notes()),
            tuple(self._places),
            len(self._requests),
            is_in_quarantine=self._is_in_quarantine,
            is_spooled=self._is_spooled,
            has_receipt=self._receipt is not None,
        )

    @property
    def _is_in_quarantine(self) -> bool:
        return (
            self._receipt is not None
            and self._receipt.outcome == Outcome.QUARANTINED
            and not self._accepted
            and not any(entry.outcome in {Action.RELEASED, Action.DROPPED} for entry in self._actions)
        )

    @property
    def _is_spooled(self) -> bool:
        is_last_spooled = bool(self._accepted) and self._accepted[-1].reason == "spooled"
        return is_last_spooled and not self._published and not self._places

    def _state(self) -> State:
        if self._is_in_quarantine:
            return "quarantined"
        if self._places:
            states = {place.state for place in self._places}
            if len(states) == 1:
                return states.pop()
            if states <= {"handled", "delivered", "unhandled"}:
                return "handled"
            return (
                "mixed"
                if states & {"dead", "dead_lettered"}
                else "retrying"
                if "retrying" in states
                else "waiting"
            )
        if self._is_spooled:
            return "spooled"
        if self._actions and self._actions[-1].outcome == Action.DROPPED:
            return "dropped"
        if self._accepted or any(entry.outcome in TO_A_QUEUE for entry in self._actions):
            return "waiting"
        if not self._requests:
            return "waiting" if self._published else "unknown"
        last = self._requests[-1].outcome
        if last in {Outcome.DUPLICATE, Outcome.IGNORED}:
            return "ignored" if last == Outcome.IGNORED else "duplicate"
        return "refused"

    def _headline(self, state: State) -> str:
        if state == "quarantined" and self._receipt is not None:
            rule = f" ({self._receipt.detail})" if self._receipt.detail else ""
            return f"Quarantined {ago(self._receipt.at, self._now)}: it does not match its schema{rule}."
        if self._places:
            clauses = [self._clause(place) for place in self._places]
            return sentence(capital_unless_name("; ".join(clauses), self._places))
        return sentence(self._without_reports(state))

    def _without_reports(self, state: State) -> str:
        """Return the headline of an event of which no queue has reported anything."""
        since = "; no worker has reported an attempt" if state == "waiting" else ""
        last_action = next((entry for entry in reversed(self._actions) if entry.outcome in ACTIONS), None)
        if state == "spooled":
            return (
                f"Accepted into the spool {ago(self._accepted[-1].at, self._now)}; that the broker has taken it is not "
                "reported yet"
            )
        if last_action is not None and (state in {"dropped", "unknown"} or last_action is self._last):
            by = f" by {last_action.actor}" if last_action.actor else ""
            return f"{ACTIONS[last_action.outcome]}{by} {ago(last_action.at, self._now)}{since}"
        if state == "waiting":
            at = (self._published or self._accepted)[-1].at
            return f"Published {ago(at, self._now)}{since}"
        if state == "ignored":
            return f"Ignored: the configuration does not select the type {self._requests[-1].type}"
        if state == "duplicate":
            return "Answered as a duplicate of an event that was published before; the journal has no entry of that"
        if state == "refused":
            last = self._requests[-1]
            why = (
                last.outcome
                if not last.reason or last.reason == last.outcome
                else f"{last.outcome}, {last.reason}"
            )
            return f"Refused {ago(last.at, self._now)} with {last.status or 'an error'} ({why}); {self._title} should send it again"
        return "The journal has entries of it that this version does not understand"

    @property
    def _last(self) -> Entry:
        return max((*self._requests, *self._actions, *self._published), key=lambda entry: entry.id)

    def _clause(self, place: Place) -> str:
        entry, name = place.deciding, place.name or "a worker"
        if place.dropped is not None:
            by = f" by {place.dropped.actor}" if place.dropped.actor else ""
            return f"dropped from the dead letters of {name}{by} {ago(place.dropped.at, self._now)}"
        if entry is None:
            action = place.action
            by = f" by {action.actor}" if action and action.actor else ""
            what = (
                ACTIONS.get(action.outcome, action.outcome).split(" ")[0].lower() if action else "published"
            )
            since = ago(action.at, self._now) if action else ""
            return f"{what} to {name}{by} {since}; no attempt has been reported since"
        at_attempt = f" at the {ordinal(entry.attempt)} attempt" if entry.attempt else ""
        is_endpoint = entry.kind is Kind.DELIVERED
        reason = reason_of(entry)
        status = f" with {entry.status}" if entry.status and is_endpoint else ""
        match entry.outcome:
            case "handled":
                return f"handled by {name}{at_attempt}{self._interval(place, entry)}"
            case "delivered":
                return f"delivered to {name}{status}{at_attempt}{self._interval(place, entry)}"
            case "dead" if is_endpoint:
                return f"the delivery to {name} is dead: it failed{at_attempt}{status}{reason}{self._interval(place, entry)}"
            case "dead":
                return f"dead-lettered by {name}{at_attempt}{reason}{self._interval(place, entry)}"
            case "duplicate":
                return f"skipped by {name}, which had handled it before"
            case "unhandled":
                return f"acknowledged by {name}, which has no handler for {entry.type or 'its type'}"
        since = ago(entry.at, self._now)
        if entry.outcome in _DEFERRED:
            return f"deferred by {name} {since}, because {_DEFERRED[entry.outcome]}"
        failed = (
            f"not taken by {name}{at_attempt}{status}{reason}"
            if is_endpoint
            else f"failed in {name}{at_attempt}{reason}"
        )
        if self._now - entry.at > _LONG_RETRY:
            return f"{failed} {since}; no later attempt has been reported"
        return f"{failed} {since}, and is to be tried again"

    def _interval(self, place: Place, entry: Entry) -> str:
        """Return how long it took; nothing where the journal cannot know."""
        start, verb = (self._receipt, "received") if place.action is None else (place.action, "")
        if start is None or entry.at < start.placed_at or (place.action is None and self._skew):
            return ""
        if not verb:
            verb = start.outcome
        return f", {span(entry.at - start.placed_at)} after it was {verb}"

    def _clock_skew(self) -> float:
        """Return by how many seconds a report is before the receipt at most; 0 if none is."""
        if self._receipt is None:
            return 0.0
        reports = [place.attempts[0].at for place in self._places if place.attempts and place.action is None]
        return max((self._receipt.placed_at - at for at in (*reports, self._receipt.placed_at)), default=0.0)

    def _notes(self) -> list[str]:
        notes = []
        if self._skew > 0:
            notes.append(
                f"A worker reported an attempt {span(self._skew)} before the event was received: the clocks of the two "
                "machines differ by at least as much, so that times between them are not exact."
            )
        if self._receipt is None and (self._places or self._published):
            why = "sampled out, dropped" if self._is_sampled else "dropped"
            notes.append(
                f"The journal has no entry of its receipt: that was {why}, or is older than the journal."
            )
        notes += [
            f"The journal has no entry of {count(place.missing_attempts, 'further attempt')} of {place.name}."
            for place in self._places
            if place.missing_attempts
        ]
        if len(self._accepted) > 1:
            notes.append(
                f"It was accepted {times(len(self._accepted))}: the deduplication store had forgotten it, or did not "
                "answer. Workers may have it several times."
            )
        if not self._places and self._accepted and not self._is_spooled:
            notes.append(
                "That no attempt is reported does not prove that there was none: workers report only while the broker "
                "takes their reports, and consumers other than `gateway worker` never do."
            )
        return notes


def capital_unless_name(text: str, places: Sequence[Place]) -> str:
    """Return a text with a capital first letter, unless it begins with the name of a queue, which is spelled as it is."""
    return text if any(place.name and text.startswith(place.name) for place in places) else capital(text)
