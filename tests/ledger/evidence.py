"""What the journal says of the events of a run, to be held against the book."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gateway.backends import open_journal
from gateway.config.discovery import load_without_secrets
from gateway.journal import Journal
from gateway.journal.entry import Kind
from gateway.journal.query import Query
from ledger.events import Events
from support.gateway_process import GatewayProcess

_PAGE = 5_000
_BUDGET = 30.0
"""Seconds for one page: nothing may be left out."""

_PUBLISHED = frozenset(("accepted", "quarantined"))


@dataclass
class Evidence:
    """The entries of the journal about requests.

    Attributes:
        published: how often each event, by its number, was accepted or quarantined.
        strangers: ids that are no event of this run.
    """

    published: Counter[int] = field(default_factory=Counter)
    strangers: list[str] = field(default_factory=list)


def read_evidence(gateway: GatewayProcess, events: Events) -> Evidence:
    """Read the whole journal of a gateway that has nothing more to do."""
    config = load_without_secrets(gateway.config)
    journal = open_journal(
        config.model_copy(update={"data_dir": gateway.directory / config.data_dir}), writable=False
    )
    try:
        return _gather(journal, events)
    finally:
        journal.close()


def _gather(journal: Journal, events: Events) -> Evidence:
    evidence, before = Evidence(), None
    while True:
        page = journal.find(Query(kinds=(Kind.RECEIVED,)), before=before, limit=_PAGE, budget=_BUDGET)
        for entry in page.entries:
            if entry.outcome not in _PUBLISHED:
                continue
            number = events.number(entry.event_id)
            if number is None:
                evidence.strangers.append(entry.event_id)
            else:
                evidence.published[number] += 1
        before = page.next
        if before is None:
            return evidence
