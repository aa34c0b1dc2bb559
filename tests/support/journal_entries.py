"""A story of an event, told in entries: what happened, and so many seconds after what came before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.journal import JournalState, Page, Point
from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.query import Query
from gateway.transport.topic_patterns import matches

NOON = 1_795_953_600.0
"""2026-11-30 12:00:00 UTC, when stories begin."""

_FAILURES = frozenset(("quarantined", "retried", "dead", "invalid_signature", "broker_unavailable", "failed"))


class Story:
    """Makes entries, one after the other, each with an id of its own.

    Args:
        event_id: The event that the entries are about.
        provider: Its provider.
        at: When it begins, in Unix seconds.

    Attributes:
        entries: The entries so far.
        now: The moment of the last one.
    """

    _sequence = 0

    def __init__(self, event_id: str = "evt_1", provider: str = "stripe", at: float = NOON) -> None:
        self.event_id = event_id
        self.provider = provider
        self.now = at
        self.entries: list[Entry] = []

    def add(self, kind: Kind, outcome: str, after: float = 0.0, **more: Any) -> Entry:
        """Add an entry of any kind, ``after`` seconds after the last one."""
        self.now += after
        Story._sequence = (Story._sequence + 1) % (1 << 22)
        fields = {
            "provider": self.provider,
            "event_id": self.event_id,
            "type": "invoice.paid",
            "gateway": "gw-1",
            **more,
        }
        entry = Entry(first_id_at(self.now) + Story._sequence, kind, outcome, **fields)
        self.entries.append(entry)
        return entry

    def received(self, outcome: str = "accepted", after: float = 0.0, **more: Any) -> Entry:
        """Add a request."""
        status = {"accepted": 202, "quarantined": 202, "duplicate": 200, "ignored": 200}.get(outcome, 503)
        return self.add(Kind.RECEIVED, outcome, after, **{"status": status, "ms": 12.0, "size": 2819, **more})

    def published(self, after: float = 1.0) -> Entry:
        """Add the departure from the spool."""
        return self.add(Kind.PUBLISHED, "published", after)

    def attempt(
        self,
        outcome: str = "handled",
        number: int = 1,
        after: float = 1.0,
        queue: str = "billing-agent",
        **more: Any,
    ) -> Entry:
        """Add an attempt of a worker."""
        return self.add(
            Kind.HANDLED,
            outcome,
            after,
            **{"attempt": number, "queue": queue, "ms": 45.0, "actor": "worker-1:77", **more},
        )

    def delivered(
        self, outcome: str, number: int = 1, after: float = 1.0, queue: str = "crm", **more: Any
    ) -> Entry:
        """Add an attempt of an endpoint."""
        return self.add(Kind.DELIVERED, outcome, after, **{"attempt": number, "queue": queue, **more})

    def action(self, name: str, after: float = 1.0, actor: str = "alice", **more: Any) -> Entry:
        """Add what somebody did."""
        return self.add(Kind.ACTION, name, after, **{"actor": actor, **more})


class ListJournal:
    """A journal in a list: slow, plain, and right by its looks.

    Args:
        entries: Its entries.
        points: Its points, as they are.
    """

    def __init__(self, entries: Sequence[Entry] = (), points: Sequence[Point] = ()) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.id)
        self.added = list(points)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries."""
        self.entries = sorted([*self.entries, *entries], key=lambda entry: entry.id)

    def find(self, query: Query, *, before: int | None = None, limit: int = 50, budget: float = 0.08) -> Page:
        """Return entries, newest first."""
        found = [
            entry
            for entry in reversed(self.entries)
            if (before is None or entry.id < before) and _accepts(query, entry)
        ]
        begins_at = self.entries[0].at if self.entries else None
        is_complete = len(found) <= limit
        return Page(found[:limit], None if is_complete else found[limit - 1].id, begins_at, is_complete)

    def follow(self, query: Query, after: int, limit: int = 500) -> list[Entry]:
        """Return later entries."""
        return [entry for entry in self.entries if entry.id > after and _accepts(query, entry)][:limit]

    def timeline(self, event_id: str, provider: str = "") -> list[Entry]:
        """Return the entries of an event."""
        return [
            entry for entry in self.entries if entry.event_id == event_id and provider in ("", entry.provider)
        ]

    def newest_id(self) -> int:
        """Return the newest id."""
        return self.entries[-1].id if self.entries else 0

    def add_points(self, points: Sequence[Point]) -> None:
        """Keep points."""
        self.added += points

    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None = None
    ) -> list[Point]:
        """Sum points over spans."""
        sums: dict[tuple[float, str, str], float] = {}
        for point in self.added:
            if (
                since <= point.at < until
                and point.measure.startswith(measures)
                and provider in (None, point.provider)
            ):
                key = since + (point.at - since) // step * step, point.provider, point.measure
                sums[key] = sums.get(key, 0.0) + point.times
        return [Point(*key, times) for key, times in sorted(sums.items())]

    def forget(self, event_id: str, provider: str = "") -> int:
        """Forget nothing."""
        return 0

    def state(self) -> JournalState:
        """Return the state."""
        return JournalState(
            len(self.entries), 1000 * len(self.entries), self.entries[0].at if self.entries else None, 0
        )

    def prune(self, now: float) -> None:
        """Keep everything."""

    def close(self) -> None:
        """Have nothing to close."""


def _accepts(query: Query, entry: Entry) -> bool:
    return all(_conditions(query, entry))


def _conditions(query: Query, entry: Entry) -> Iterator[bool]:
    yield not query.text or query.text in (entry.event_id, entry.subject, entry.account, entry.trace)
    for wanted, value in (
        (query.kinds, entry.kind),
        (query.providers, entry.provider),
        (query.outcomes, entry.outcome),
        (query.reasons, entry.reason),
        (query.queues, entry.queue),
    ):
        yield not wanted or value in wanted
    yield not query.types or any(matches(pattern, entry.type) for pattern in query.types)
    for text, value in (
        (query.event_id, entry.event_id),
        (query.subject, entry.subject),
        (query.account, entry.account),
        (query.actor, entry.actor),
    ):
        yield not text or text == value
    yield query.slot is None or query.slot == entry.slot
    yield query.request is None or query.request in (entry.request, entry.id)
    yield query.since is None or entry.at >= query.since
    yield query.until is None or entry.at < query.until
    yield not query.failures or entry.outcome in _FAILURES
