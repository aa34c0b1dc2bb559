"""A story of an event, told in entries: what happened, and so many seconds after what came before."""

from __future__ import annotations

from typing import Any

from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.memory import MemoryJournal

NOON = 1_796_040_000.0
"""2026-11-30 12:00:00 UTC, when stories begin."""


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


def journal_of(*stories: Story) -> MemoryJournal:
    """Return a journal in memory with the entries of stories."""
    journal = MemoryJournal()
    for story in stories:
        journal.append(story.entries)
    return journal
