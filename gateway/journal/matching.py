"""Whether an entry matches a query, decided in Python: for the journal in memory, and for events as they arrive."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from gateway.journal.entry import Entry, cut, first_id_at
from gateway.journal.query import FAILURES, Query
from gateway.transport.topic_patterns import key_pattern, matches


def is_match(query: Query, entry: Entry) -> bool:
    """Return whether all conditions of a query hold for an entry."""
    return (
        _has_words(query, entry)
        and _has_texts(query, entry)
        and _has_numbers(query, entry)
        and (not query.types or any(type_matches(pattern, entry.type) for pattern in query.types))
        and (not query.client or client_condition(query.client)(entry.client))
    )


def type_matches(pattern: str, event_type: str) -> bool:
    """Return whether an event type, as routing keys spell it, matches a pattern in either spelling."""
    return bool(event_type) and matches(key_pattern(pattern), event_type)


def client_condition(condition: str) -> Callable[[str], bool]:
    """Return what tells whether the kept address of a client, or its network, lies in an address or a network.

    A kept network that is wider than the condition matches if it contains it: the client may have been there.
    """
    try:
        wanted = ip_network(condition, strict=False)
    except ValueError:
        return condition.__eq__

    def is_match(client: str) -> bool:
        try:
            kept = ip_network(client, strict=False)
        except ValueError:
            return False
        return wanted.version == kept.version and wanted.overlaps(kept)

    return is_match


def _has_words(query: Query, entry: Entry) -> bool:
    return (
        (not query.kinds or entry.kind in query.kinds)
        and (not query.providers or entry.provider in query.providers)
        and (not query.outcomes or entry.outcome in query.outcomes)
        and (not query.reasons or entry.reason in query.reasons)
        and (not query.queues or entry.queue in query.queues)
        and (not query.actor or entry.actor == query.actor)
        and (not query.failures or entry.outcome in FAILURES)
    )


def _has_texts(query: Query, entry: Entry) -> bool:
    text = cut(query.text)
    return (
        (not query.event_id or entry.event_id == cut(query.event_id))
        and (not query.subject or entry.subject == cut(query.subject))
        and (not query.account or entry.account == cut(query.account))
        and (not text or text in {entry.event_id, entry.subject, entry.account, entry.trace})
    )


def _has_numbers(query: Query, entry: Entry) -> bool:
    return (
        (query.slot is None or entry.slot == query.slot)
        and (query.request is None or query.request in {entry.id, entry.request})
        and (query.min_ms is None or (entry.ms is not None and entry.ms > query.min_ms))
        and (query.max_ms is None or (entry.ms is not None and entry.ms < query.max_ms))
        and (query.since is None or entry.id >= first_id_at(query.since))
        and (query.until is None or entry.id < first_id_at(query.until))
    )
