"""Queries of the journal as SQL of PostgreSQL."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_network
from typing import Any, LiteralString

from gateway.journal.entry import cut
from gateway.journal.query import FAILURES, Query
from gateway.transport.topic_patterns import key_pattern

Terms = tuple[list[LiteralString], list[Any]]
"""Terms that all hold, and the values of their parameters."""


def terms_of(query: Query) -> Terms:
    """Return the conditions of a query, without those on time."""
    terms: list[LiteralString] = []
    values: list[Any] = []

    def add(term: LiteralString, *parameters: object) -> None:
        terms.append(term)
        values.extend(parameters)

    _add_words(query, add)
    if query.event_id:
        add("event_id = %s AND event_id <> ''", cut(query.event_id))
    if query.subject:
        add("subject = %s AND subject <> ''", cut(query.subject))
    if query.account:
        add("account = %s AND account <> ''", cut(query.account))
    if query.text:
        add(
            "((event_id = %s AND event_id <> '') OR (subject = %s AND subject <> '') "
            "OR (account = %s AND account <> '') OR (trace = %s AND trace <> ''))",
            *(cut(query.text),) * 4,
        )
    if query.request is not None:
        add("(id = %s OR request = %s)", query.request, query.request)
    if query.slot is not None:
        add("slot = %s", query.slot)
    if query.min_ms is not None:
        add("ms > %s", query.min_ms)
    if query.max_ms is not None:
        add("ms < %s", query.max_ms)
    if query.client:
        if network := network_of(query.client):
            add("network && %s::inet", network)
        else:
            add("client = %s", query.client)
    return terms, values


def _add_words(query: Query, add: Any) -> None:
    if query.kinds:
        add("kind = ANY(%s)", list(query.kinds))
    if query.providers:
        add("provider = ANY(%s)", list(query.providers))
    if query.outcomes:
        add("outcome = ANY(%s)", list(query.outcomes))
    if query.failures:
        add("outcome = ANY(%s)", sorted(FAILURES))
    if query.reasons:
        add("reason = ANY(%s)", list(query.reasons))
    if query.queues:
        add("queue = ANY(%s)", list(query.queues))
    if query.actor:
        add("actor = %s", query.actor)
    if query.types:
        add("type <> '' AND '.' || type ~ ANY(%s)", [_expression(pattern) for pattern in query.types])


@lru_cache(10_000)
def network_of(client: str) -> str | None:
    """Return the address or network of a client as ``inet`` has it; None if it is none."""
    try:
        return str(ip_network(client, strict=False))
    except ValueError:
        return None


def _expression(pattern: str) -> str:
    """Return a pattern of event types as a regular expression over a type with a leading dot."""
    return "^" + "".join(map(_word_expression, key_pattern(pattern).split("."))) + "$"


def _word_expression(word: str) -> str:
    match word:
        case "#":
            return r"(\.[^.]*)*"
        case "*":
            return r"\.[^.]*"
        case _:
            return r"\." + re.escape(word)
