"""The queues and endpoints that have had an event, and how it stands in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.journal.entry import Entry, Kind
from gateway.operations.actions import Action
from gateway.operations.event_models import State
from gateway.operations.event_steps import TO_A_QUEUE

_DONE = frozenset(("handled", "delivered", "duplicate", "unhandled"))
"""Outcomes of attempts after which the queue does not deliver the event again."""


@dataclass(slots=True)
class Place:
    """One queue or endpoint, and what it reported since it had the event anew.

    Attributes:
        name: The queue or the endpoint.
        attempts: The reports since then.
        action: What somebody did to give it the event anew; None if it had it from the gateway.
        dropped: The action that dropped it from its dead-letter queue.
    """

    name: str
    attempts: list[Entry] = field(default_factory=list)
    action: Entry | None = None
    dropped: Entry | None = None

    @property
    def deciding(self) -> Entry | None:
        """The report that says how it stands: a success if there is one, else the last."""
        done = [entry for entry in self.attempts if entry.outcome in {"handled", "delivered"}]
        return done[-1] if done else self.attempts[-1] if self.attempts else None

    @property
    def state(self) -> State:
        """How the event stands here."""
        entry = self.deciding
        if self.dropped is not None:
            return "dropped"
        if entry is None:
            return "waiting"
        if entry.outcome in _DONE:
            names: dict[str, State] = {"delivered": "delivered", "unhandled": "unhandled"}
            return names.get(entry.outcome, "handled")
        if entry.outcome != "dead":
            return "retrying"
        return "dead" if self.is_endpoint else "dead_lettered"

    @property
    def is_endpoint(self) -> bool:
        """Whether it is an endpoint, and not a queue of a worker."""
        return any(entry.kind is Kind.DELIVERED for entry in self.attempts)

    @property
    def missing_attempts(self) -> int:
        """How many attempts the numbers of the others show, and no entry tells of."""
        numbers = {entry.attempt for entry in self.attempts if entry.attempt}
        return max(numbers, default=0) - len(numbers)


def places_of(entries: Sequence[Entry]) -> list[Place]:
    """Return the queues and endpoints in the order in which they had the event first."""
    places: dict[str, Place] = {}
    for entry in entries:
        if entry.kind in (Kind.HANDLED, Kind.DELIVERED):
            places.setdefault(entry.queue, Place(entry.queue)).attempts.append(entry)
        elif entry.kind is Kind.ACTION and entry.queue:
            name = entry.queue.removesuffix(".dead")
            if entry.outcome in TO_A_QUEUE:
                places[name] = Place(name, action=entry)
            elif entry.outcome == Action.DROPPED and name in places:
                places[name].dropped = entry
    return list(places.values())
