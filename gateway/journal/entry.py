"""One entry of the journal: one thing that happened to a request or an event.

An entry holds no payload and no value of one, only what the envelope shows to everybody.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

EPOCH_MS = 1_577_836_800_000
"""Unix milliseconds of 2020-01-01, the moment 0 of entry ids: 41 bits of milliseconds last until 2089."""

SEQUENCE_BITS = 22
"""The low bits of an id, which tell the entries of one millisecond apart: 8 bits of the writer, 14 of its sequence."""

MAX_TEXT = 200
"""Bytes of an id, a subject or an account in the journal; a longer one is cut."""

MAX_DETAIL = 500
"""Bytes of the detail of an entry."""


class Kind(StrEnum):
    """What an entry is about."""

    RECEIVED = "received"
    """A request was answered. For a list, each of its events has a further entry that names the request."""
    PUBLISHED = "published"
    """An event left the spool, confirmed by the broker."""
    HANDLED = "handled"
    """A worker made an attempt to handle an event."""
    DELIVERED = "delivered"
    """An attempt was made to POST an event to an endpoint."""
    ACTION = "action"
    """Somebody replayed, released, redrove, routed, dropped or forgot an event, or sent a test event."""


class Entry(msgspec.Struct, array_like=True, frozen=True, kw_only=False, gc=False):
    """One thing that happened.

    In files it is a JSON array of these fields in this order; fields at the end may be missing. Unknown texts are empty,
    unknown numbers None.

    Attributes:
        id: Orders the entries of all processes: milliseconds since 2020, the writer, and its sequence; 63 bits.
        kind: What the entry is about.
        outcome: Of a request or an event, one of :data:`gateway.errors.OUTCOMES`; of an attempt, the worker's or the
            endpoint's settlement; of an action, its name.
        reason: The precise fault of a refusal, `spooled` for an event accepted into the spool, the exception's type of a
            failed attempt.
        provider: The provider's key in the configuration.
        type: The event type as routing keys spell it.
        event_id: The CloudEvents id; of a refused request empty.
        subject: The CloudEvents subject.
        account: The customer's account at the provider.
        request: The id of the `received` entry of the request, for the events of a list.
        queue: The queue of a worker, or the endpoint of a delivery.
        gateway: The host that wrote the entry.
        actor: Who took an action: a system user, a token's name, or a worker's process.
        slot: The position of the secret that matched, from 0.
        key: The fingerprint of that secret; see :mod:`gateway.journal.fingerprints`.
        status: The HTTP status of the answer.
        ms: How long it took, in milliseconds.
        size: Bytes of the body.
        attempt: The number of the attempt, from 1.
        age: Seconds from the signed timestamp to the receipt: how close requests come to the tolerance.
        client: The client's address as `journal.addresses` says.
        summary: The envelope's one line.
        detail: Violated paths and rules, codes of faults, what a handler says it did, or places of an exception. Never a value, never the text of an
            exception, except where `log.exception_messages` allows it.
        trace: The trace id in hexadecimal.
    """

    id: int
    kind: Kind
    outcome: str
    reason: str = ""
    provider: str = ""
    type: str = ""
    event_id: str = ""
    subject: str = ""
    account: str = ""
    request: int | None = None
    queue: str = ""
    gateway: str = ""
    actor: str = ""
    slot: int | None = None
    key: str = ""
    status: int | None = None
    ms: float | None = None
    size: int | None = None
    attempt: int | None = None
    age: float | None = None
    client: str = ""
    summary: str = ""
    detail: str = ""
    trace: str = ""

    @property
    def at(self) -> float:
        """When it happened, in Unix seconds."""
        return moment_of(self.id)

    @property
    def placed_at(self) -> float:
        """The moment at which the timeline of its event shows it, in Unix seconds.

        An entry is made when something is done. A request is answered after its event was published, which a worker may
        have handled by then: so a request stands where it began.
        """
        return self.at - (self.ms or 0.0) / 1000 if self.kind is Kind.RECEIVED else self.at


def moment_of(entry_id: int) -> float:
    """Return when an entry with an id was made, in Unix seconds."""
    return ((entry_id >> SEQUENCE_BITS) + EPOCH_MS) / 1000


def first_id_at(seconds: float) -> int:
    """Return the smallest id of an entry made at a moment, in Unix seconds."""
    return max(round(seconds * 1000) - EPOCH_MS, 0) << SEQUENCE_BITS


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """Return as much of the beginning of ``text`` as has at most ``limit`` bytes of UTF-8; a lone surrogate becomes `?`."""
    if text.isascii():
        return text[:limit]
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
