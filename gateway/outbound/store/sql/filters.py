"""Conditions on deliveries as SQL, such that an index has what is wanted in the wanted order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.outbound.ids import first_id
from gateway.outbound.models import DeliveryState
from gateway.outbound.outcomes import Outcome
from gateway.outbound.store import DeliveryFilter, MessageFilter, MessagePlace
from gateway.outbound.store.sql.codec import cleaned, indexed
from gateway.outbound.store.sql.transaction import Transaction

_DEFAULT_TENANT = "default"
"""The tenant whose deliveries and messages have no index of their own: with one tenant alone, that would be of no use."""

_USUAL_STATUS = 200
"""The status that has no index: nearly all deliveries have it."""

_MAX_KEYS = 2_000
"""Routing keys among which those that match a pattern are looked for; 10 ms in PostgreSQL (2026-11-30)."""

_MAX_BRANCHES = 50
"""Routing keys that are read one by one. Where more match, one of the next deliveries will."""

MAX_ID_LAG = 3600.0
"""Seconds between the moment in a delivery's id and its acceptance. Ids never go back within a process, its clock may."""


class Condition(NamedTuple):
    """The text after WHERE, and its parameters."""

    text: str
    parameters: tuple[Any, ...]


Term = tuple[str, tuple[Any, ...]]
"""One of the conditions that are joined by AND, and its parameters."""


def conditions(
    transaction: Transaction, wanted: DeliveryFilter, before: str = "", after: str = ""
) -> list[Condition]:
    """Return conditions that have no delivery in common, and together all that match.

    There is one for each state, or for each routing key, where that gives each an index that has its deliveries in the
    order of their ids.
    """
    terms = [*_identities(wanted), *_moments(wanted, before, after)]
    return [_all_of([*terms, *branch]) for branch in _branches(transaction, wanted)]


def _branches(transaction: Transaction, wanted: DeliveryFilter) -> list[list[Term]]:
    """Return the terms about states and routing keys, divided such that each part has an index."""
    states = [each for each in dict.fromkeys(wanted.states or DeliveryState) if _can_be(each, wanted)]
    in_states: list[Term] = []
    if wanted.states:
        in_states.append((transaction.among("state"), (transaction.values(each.value for each in states),)))
    matching: list[Term] = []
    if wanted.keys:
        matching.append((transaction.matching("routing_key"), (transaction.patterns(wanted.keys),)))
    if wanted.delivery or wanted.message or wanted.event_id:
        return [[*matching, *in_states]]
    if wanted.keys and not wanted.endpoint and DeliveryState.DELIVERED in states:
        keys = _known_keys(transaction, matching[0])
        if keys is not None:
            return [[("routing_key = ?", (each,)), *in_states] for each in keys]
    if wanted.endpoint or wanted.states:
        column = "state" if wanted.endpoint else "lower(state)"  # which of the indexes; see migrations
        return [[*matching, (f"{column} = ?", (each.value,))] for each in states]
    return [matching]


def _can_be(state: DeliveryState, wanted: DeliveryFilter) -> bool:
    """Return whether a delivery in a state can have had the wanted outcome: one that failed at last was not delivered."""
    return state is not DeliveryState.DELIVERED or wanted.outcome in {"", Outcome.DELIVERED}


def _known_keys(transaction: Transaction, matching: Term) -> list[str] | None:
    """Return the routing keys of all deliveries that match, from one step in the index for each key; None if there are many."""
    text, parameters = matching
    rows = transaction.rows(
        "WITH RECURSIVE known (routing_key, number) AS (SELECT min(routing_key), 1 FROM outbound_deliveries "
        "UNION ALL SELECT (SELECT min(d.routing_key) FROM outbound_deliveries d WHERE d.routing_key > known.routing_key), "
        "number + 1 FROM known WHERE routing_key IS NOT NULL AND number <= ?) "
        f"SELECT routing_key, number FROM known WHERE routing_key IS NOT NULL AND (number > ? OR {text}) LIMIT ?",
        _MAX_KEYS,
        _MAX_KEYS,
        *parameters,
        _MAX_BRANCHES + 1,
    )
    keys = [key for key, number in rows if number <= _MAX_KEYS]
    is_partial = len(rows) > _MAX_BRANCHES or any(number > _MAX_KEYS for _, number in rows)
    return None if is_partial else keys


def message_condition(
    transaction: Transaction, wanted: MessageFilter, after: MessagePlace | None
) -> Condition:
    """Return the condition on messages that come after a place when the newest come first."""
    terms: list[Term] = _tenant_terms(wanted.tenant)
    if wanted.event_id:
        terms.append(("event = ?", (indexed(wanted.event_id),)))
    if wanted.provider:
        terms.append(("provider = ?", (cleaned(wanted.provider),)))
    if wanted.keys:
        terms.append((transaction.matching("routing_key"), (transaction.patterns(wanted.keys),)))
    if wanted.since is not None:
        terms.append(("accepted_at >= ?", (wanted.since,)))
    if wanted.until is not None:
        terms.append(("accepted_at < ?", (wanted.until,)))
    if after is not None:
        # The first term is in the second, but an index has it.
        terms.append(("accepted_at <= ?", (after.accepted_at,)))
        terms.append(("(accepted_at, id) < (?, ?)", tuple(after)))
    return _all_of(terms)


def _all_of(terms: Sequence[Term]) -> Condition:
    return Condition(
        " AND ".join(text for text, _ in terms) or "1 = 1",
        tuple(value for _, values in terms for value in values),
    )


def _tenant_terms(tenant: str) -> list[Term]:
    if not tenant:
        return []
    # The second term is in the first, but it is that of the index.
    is_indexed = [("tenant <> 'default'", ())] if tenant != _DEFAULT_TENANT else []
    return [("tenant = ?", (tenant,)), *is_indexed]


def _identities(wanted: DeliveryFilter) -> list[Term]:
    terms = _tenant_terms(wanted.tenant)
    if wanted.endpoint:
        terms.append(("endpoint = ?", (wanted.endpoint,)))
    if wanted.delivery:
        terms.append(("id = ?", (wanted.delivery,)))
    if wanted.message:
        terms.append(("message = ?", (wanted.message,)))
    if wanted.event_id:
        terms.append(("event = ?", (indexed(wanted.event_id),)))
    if wanted.outcome:
        terms.append(("outcome = ?", (str(wanted.outcome),)))
        if wanted.outcome != Outcome.DELIVERED:
            terms.append(("outcome <> 'delivered' AND outcome <> ''", ()))
    if wanted.status is not None:
        terms.append(("status = ?", (wanted.status,)))
        if wanted.status != _USUAL_STATUS:
            terms.append(("status <> 200", ()))
    return terms


def _moments(wanted: DeliveryFilter, before: str, after: str) -> list[Term]:
    terms: list[Term] = []
    if wanted.since is not None:
        terms.append(("created_at >= ?", (wanted.since,)))
        terms.append(("id >= ?", (first_id("dlv", wanted.since - MAX_ID_LAG),)))
    if wanted.until is not None:
        terms.append(("created_at < ?", (wanted.until,)))
        terms.append(("id < ?", (first_id("dlv", wanted.until + MAX_ID_LAG),)))
    if before:
        terms.append(("id < ?", (before,)))
    if after:
        terms.append(("id > ?", (after,)))
    return terms
