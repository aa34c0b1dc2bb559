"""What a reader of the journal asks for. One grammar serves the search field, the API and `gateway events`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import REJECTIONS, Outcome

FAILURES: frozenset[str] = frozenset(
    (
        *(rejection.reason for rejection in REJECTIONS),
        Outcome.QUARANTINED,
        *("retried", "dead", "failed"),
    )
)
"""The outcomes of what failed: a refusal, a violated schema, an attempt of a worker or at an endpoint."""


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions on entries, all of which hold. An empty one selects everything.

    Attributes:
        text: An id that is tried as event id, subject, account and trace.
        kinds: Kinds of entries.
        providers: Keys of providers.
        types: Patterns of event types as in routing keys: `*` is one word, `#` any number of words.
        outcomes: Outcomes.
        reasons: Reasons.
        queues: Queues or endpoints.
        event_id: The CloudEvents id.
        subject: The subject.
        account: The account.
        slot: The position of the secret.
        client: An address or a network in CIDR notation.
        actor: Who took an action.
        request: The id of the request of a list.
        min_ms: Entries that took longer than so many milliseconds.
        max_ms: Entries that took less.
        since: Entries from this moment on, in Unix seconds.
        until: Entries before this moment, in Unix seconds.
        failures: Only what failed: refused, quarantined, retried or dead-lettered.
    """

    text: str = ""
    kinds: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    event_id: str = ""
    subject: str = ""
    account: str = ""
    slot: int | None = None
    client: str = ""
    actor: str = ""
    request: int | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    since: float | None = None
    until: float | None = None
    failures: bool = False


def is_lookup(query: Query) -> bool:
    """Return whether an index of a single text or number finds what is wanted."""
    return bool(query.event_id or query.subject or query.account or query.text) or query.request is not None
