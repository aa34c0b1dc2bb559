"""Conditions on deliveries as SQL, such that an index has what is wanted in the wanted order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.outbound.ids import first_id
from gateway.outbound.models import DeliveryState
from gateway.outbound.store import DeliveryFilter, MessageFilter, MessagePlace
from gateway.outbound.store.sql.codec import cleaned, indexed
from gateway.outbound.store.sql.transaction import Transaction

_DEFAULT_TENANT = "default"
"""The tenant whose deliveries and messages have no index of their own: with one tenant alone, that would be of no use."""

MAX_ID_LAG = 3600.0
"""Seconds between the moment in a delivery's id and its acceptance. Ids never go back within a process, its clock may."""


class Condition(NamedTuple):
    """The text after WHERE, and its parameters."""

    text: str
    parameters: tuple[Any, ...]


def conditions(
    transaction: Transaction, wanted: DeliveryFilter, before: str = "", after: str = ""
) -> list[Condition]:
    """Return conditions that have no delivery in common, and together all that match.

    There is one for each state where that gives each an index that has its deliveries in the order of their ids.
    """
    terms: list[tuple[str, tuple[Any, ...]]] = [
        *_identities(wanted),
        *_moments(wanted, before, after),
    ]
    if wanted.keys:
        terms.append((transaction.matching("routing_key"), (transaction.patterns(wanted.keys),)))
    is_found_alone = bool(wanted.delivery or wanted.message or wanted.event_id)
    states = wanted.states or (tuple(DeliveryState) if wanted.endpoint and not is_found_alone else ())
    if is_found_alone and states:
        terms.append((transaction.among("state"), (transaction.values(each.value for each in states),)))
        states = ()
    column = "state" if wanted.endpoint else "lower(state)"  # which of the indexes; see migrations
    branches = [[*terms, (f"{column} = ?", (each.value,))] for each in dict.fromkeys(states)] or [terms]
    return [_all_of(branch) for branch in branches]


def message_condition(
    transaction: Transaction, wanted: MessageFilter, after: MessagePlace | None
) -> Condition:
    """Return the condition on messages that come after a place when the newest come first."""
    terms: list[tuple[str, tuple[Any, ...]]] = _tenant_terms(wanted.tenant)
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


def _all_of(terms: Sequence[tuple[str, tuple[Any, ...]]]) -> Condition:
    return Condition(
        " AND ".join(text for text, _ in terms) or "1 = 1",
        tuple(value for _, values in terms for value in values),
    )


def _tenant_terms(tenant: str) -> list[tuple[str, tuple[Any, ...]]]:
    if not tenant:
        return []
    # The second term is in the first, but it is that of the index.
    is_indexed = [("tenant <> 'default'", ())] if tenant != _DEFAULT_TENANT else []
    return [("tenant = ?", (tenant,)), *is_indexed]


def _identities(wanted: DeliveryFilter) -> list[tuple[str, tuple[Any, ...]]]:
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
    if wanted.status is not None:
        terms.append(("status = ?", (wanted.status,)))
    return terms


def _moments(wanted: DeliveryFilter, before: str, after: str) -> list[tuple[str, tuple[Any, ...]]]:
    terms: list[tuple[str, tuple[Any, ...]]] = []
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
