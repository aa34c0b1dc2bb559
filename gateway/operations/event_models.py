"""What is known of one event, or of an id that is in no journal: the values that pages, API and commands show.

Each sentence is complete and in plain text. Ids, types and reasons in it come from providers: pages and commands escape it.

The module has slightly more than 200 lines because it is one table of declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.journal.entry import Entry

Stage = Literal["gateway", "spool", "broker", "worker", "endpoint", "action"]
"""Where a step of a timeline happened."""

State = Literal[
    "handled", "unhandled", "waiting", "retrying", "dead_lettered", "dead", "quarantined", "spooled", "ignored",
    "delivered", "dropped", "duplicate", "refused", "mixed", "unknown",
]  # fmt: skip
"""How an event stands. `dead_lettered` is one in the queue of a worker, `dead` one that an endpoint did not take. `mixed` is an event that several queues or endpoints have, of which not all are done."""

Tone = Literal["good", "busy", "bad", "neutral"]
"""How to colour a state: done, under way, in need of somebody, or neither."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a timeline: one entry, or several alike that follow each other.

    Attributes:
        at: When it happened first, in Unix seconds.
        last_at: When it happened last; the same for a single entry.
        stage: Where it happened.
        place: The provider, queue, endpoint or person.
        text: What happened, as a sentence.
        tone: How to colour it.
        times: How many entries it stands for.
        delay: Seconds since the step before; None for the first.
        detail: The places of an exception, or the violated rules.
        trace: The trace id; empty if there is none.
        entries: The entries, oldest first; of very many, the first and the last ones.
    """

    at: float
    last_at: float
    stage: Stage
    place: str
    text: str
    tone: Tone
    times: int = 1
    delay: float | None = None
    detail: str = ""
    trace: str = ""
    entries: tuple[Entry, ...] = field(default=(), repr=False)


PayloadKind = Literal["archive", "quarantine", "dead_letters", "unrouted", "spool", "queue"]


@dataclass(frozen=True, slots=True)
class PayloadPlace:
    """Where the payload of an event may still be.

    Attributes:
        kind: The kind of place.
        queue: The name of the queue; empty for the archive and the spool.
        text: A sentence, such as "In the archive, for 3 more days".
    """

    kind: PayloadKind
    queue: str
    text: str


@dataclass(frozen=True, slots=True)
class Related:
    """Other events that have to do with this one, newest first, one entry an event.

    Attributes:
        subject: Events of the same subject.
        account: Events of the same account.
        request: The other events of the same request.
        request_total: How many events that request had, as far as the journal has them.
    """

    subject: tuple[Entry, ...] = ()
    account: tuple[Entry, ...] = ()
    request: tuple[Entry, ...] = ()
    request_total: int = 0


@dataclass(frozen=True, slots=True)
class EventView:
    """All that is known of an event.

    Attributes:
        provider: The provider's key.
        event_id: The CloudEvents id.
        type: The event type; empty if unknown, as are the next three.
        subject: The subject.
        account: The account.
        summary: The envelope's one line.
        state: How it stands.
        tone: How to colour the state.
        headline: How it stands, in words.
        steps: The timeline, oldest first.
        requests: How many requests brought it.
        first_at: When it was first seen, in Unix seconds.
        last_at: When something happened to it last.
        queues: The queues and endpoints that have worked on it.
        other_providers: Providers that have an event of the same id.
        related: Other events that have to do with it.
        places: Where its payload may be, the likeliest first.
        notes: What the journal cannot know, or what is odd, one sentence each.
        entries: How many entries it has.
    """

    provider: str
    event_id: str
    type: str
    subject: str
    account: str
    summary: str
    state: State
    tone: Tone
    headline: str
    steps: tuple[Step, ...]
    requests: int
    first_at: float
    last_at: float
    queues: tuple[str, ...]
    other_providers: tuple[str, ...]
    related: Related
    places: tuple[PayloadPlace, ...]
    notes: tuple[str, ...]
    entries: int


@dataclass(frozen=True, slots=True)
class Payload:
    """An event that was read where it is kept.

    Attributes:
        place: Where it was found.
        is_whole: Whether the values are there; otherwise only their shape is.
        event: The CloudEvent, or its shape: each value replaced by its type and length.
        body: The bytes of the CloudEvent; empty unless it is whole.
        headers: The headers of the message.
    """

    place: PayloadPlace
    is_whole: bool
    event: Any
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderTrace:
    """What one provider's part of the journal says about an id that it does not have.

    Attributes:
        provider: The provider's key.
        title: The provider's name.
        last_event_at: When its last event came, in Unix seconds; None if the journal has none.
        last_event_id: The id of that event.
        refusals: Reasons of refusals around that time, with their numbers, most frequent first.
        claim: What the deduplication store has under the id: `published`, `in_flight`, `none`, or `unknown` if it did
            not answer.
        setup: Where the provider shows its webhooks, in the words of its pages; empty if that is not known.
        docs: The provider's page on verifying webhooks; empty if that is not known.
    """

    provider: str
    title: str
    last_event_at: float | None
    last_event_id: str
    refusals: tuple[tuple[str, int], ...]
    claim: Literal["published", "in_flight", "none", "unknown"]
    setup: str = ""
    docs: str = ""


@dataclass(frozen=True, slots=True)
class NotFound:
    """The answer for an id that is in no entry.

    Attributes:
        event_id: The id.
        headline: What is not known, as a sentence.
        journal_begins_at: The moment of the oldest entry, in Unix seconds; None if the journal is empty.
        window: The span, in Unix seconds, in which refusals were counted.
        providers: What each provider's part of the journal says; those with a claim first.
        similar: Ids in the journal that begin alike, with their providers.
        sentences: What is known, one sentence each, the most telling first.
        next_steps: What to do, one sentence each.
    """

    event_id: str
    headline: str
    journal_begins_at: float | None
    window: tuple[float, float]
    providers: tuple[ProviderTrace, ...]
    similar: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]
    next_steps: tuple[str, ...]
