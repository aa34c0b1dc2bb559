"""What is known of one event, put together from the entries of its timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.config import Config
from gateway.events.message import DEAD_SUFFIX
from gateway.journal import Journal
from gateway.journal.bounds import bounded
from gateway.journal.entry import MAX_TEXT, Entry, Kind
from gateway.journal.query import Query
from gateway.operations.event_models import EventView, PayloadPlace, Related
from gateway.operations.event_state import Standing, standing_of
from gateway.operations.event_steps import steps_of
from gateway.operations.titles import title_reader
from gateway.operations.wording import span
from gateway.publishers import QUARANTINE_SUFFIX, UNROUTED_SUFFIX

MAX_RELATED = 20
"""Events of the same subject, account or request that are named."""

_LOOKED_AT = 200
"""Entries that are read to find so many events: each event has several."""


def kept_id(event_id: str) -> str:
    """Return an id as the journal keeps it: cut to 200 bytes."""
    kept = bounded(Entry(1, Kind.RECEIVED, "", event_id=event_id))
    return kept.event_id if kept else event_id


def event_view(
    config: Config, journal: Journal, event_id: str, provider: str = "", *, now: float
) -> EventView | None:
    """Return what is known of an event; None if the journal has no entry of it.

    Without a provider, the one that has the newest entry is taken, and the others are named.

    Raises:
        OSError: The journal cannot be read.
    """
    wanted = kept_id(event_id)
    if not wanted:
        return None  # entries without an id are not one event
    found = journal.timeline(wanted)
    if not found:
        return None
    providers = list(dict.fromkeys(entry.provider for entry in reversed(found)))
    chosen = provider or providers[0]
    entries = sorted(
        (entry for entry in found if entry.provider == chosen), key=lambda entry: (entry.placed_at, entry.id)
    )
    if not entries:
        return None
    titles = title_reader(config)
    standing = standing_of(entries, titles, now=now, is_sampled=config.journal.sample < 1)
    notes = list(standing.notes)
    if len(wanted.encode()) >= MAX_TEXT - 3:  # a cut never divides a character
        notes.append(
            f"The journal keeps {MAX_TEXT} bytes of an id: events whose ids begin alike are shown together here."
        )
    return EventView(
        provider=chosen,
        event_id=event_id,
        type=_newest(entries, "type"),
        subject=_newest(entries, "subject"),
        account=_newest(entries, "account"),
        summary=_newest(entries, "summary"),
        state=standing.state,
        tone=standing.tone,
        headline=standing.headline,
        steps=steps_of(entries, titles),
        requests=standing.requests,
        first_at=entries[0].placed_at,
        last_at=entries[-1].placed_at,
        queues=tuple(place.name for place in standing.places if place.name),
        other_providers=tuple(each for each in providers if each != chosen),
        related=_related(journal, entries),
        places=tuple(_payload_places(config, entries, standing, now)),
        notes=tuple(notes),
        entries=len(entries),
    )


def _newest(entries: Sequence[Entry], name: str) -> str:
    """Return a text of the newest entry that has it; of the receipt first, which has the envelope's own."""
    of_requests = [entry for entry in entries if entry.kind is Kind.RECEIVED]
    return next(
        (text for entry in (*reversed(of_requests), *reversed(entries)) if (text := getattr(entry, name))), ""
    )


def _related(journal: Journal, entries: Sequence[Entry]) -> Related:
    provider, own = entries[0].provider, entries[0].event_id
    subject, account = _newest(entries, "subject"), _newest(entries, "account")
    request = next((entry.request for entry in entries if entry.request is not None), None)
    same_request: list[Entry] = []
    total = 0
    if request is not None:
        page = journal.find(Query(request=request, kinds=(Kind.RECEIVED,)), limit=1001)
        of_events = [entry for entry in page.entries if entry.event_id]
        total = len({entry.event_id for entry in of_events})
        same_request = _others(of_events, own)
    return Related(
        subject=tuple(_of_same(journal, provider, own, subject=subject)) if subject else (),
        account=tuple(_of_same(journal, provider, own, account=account)) if account else (),
        request=tuple(same_request),
        request_total=total,
    )


def _of_same(
    journal: Journal, provider: str, own: str, *, subject: str = "", account: str = ""
) -> list[Entry]:
    query = Query(providers=(provider,), kinds=(Kind.RECEIVED,), subject=subject, account=account)
    return _others(journal.find(query, limit=_LOOKED_AT).entries, own)


def _others(entries: Sequence[Entry], own: str) -> list[Entry]:
    """Return one entry of each event but the own one."""
    by_id: dict[str, Entry] = {}
    for entry in entries:
        if entry.event_id and entry.event_id != own:
            by_id.setdefault(entry.event_id, entry)
    return list(by_id.values())[:MAX_RELATED]


def _payload_places(
    config: Config, entries: Sequence[Entry], standing: Standing, now: float
) -> Iterator[PayloadPlace]:
    """Yield where the payload may be, the likeliest first. Nobody has looked yet."""
    exchange = config.rabbitmq.exchange
    if standing.is_in_quarantine:
        queue = exchange + QUARANTINE_SUFFIX
        yield PayloadPlace(
            "quarantine", queue, f"In the quarantine, {queue}, until it is released or dropped."
        )
        return
    for place in standing.places:
        if place.state == "dead_lettered":
            queue = place.name + DEAD_SUFFIX
            yield PayloadPlace(
                "dead_letters", queue, f"In the dead-letter queue {queue}, until it is redriven or dropped."
            )
    if standing.is_spooled:
        yield PayloadPlace("spool", "", "In the spool, until the broker takes it.")
    if standing.state in {"refused", "ignored"}:
        return
    received_at = entries[0].at
    if config.archive.enabled and now - received_at < config.archive.max_age:
        left = span(config.archive.max_age - (now - received_at))
        yield PayloadPlace(
            "archive", "", f"In the archive, for {left} more, unless archive.max_size is reached before."
        )
    for place in standing.places:
        if place.state in {"retrying", "waiting"} and place.name and not place.is_endpoint:
            yield PayloadPlace(
                "queue", place.name, f"In the queue {place.name}, until its worker is done with it."
            )
    if not standing.places and standing.state in {"waiting", "unknown", "duplicate"}:
        queue = exchange + UNROUTED_SUFFIX
        yield PayloadPlace("unrouted", queue, f"In {queue}, if no queue was bound for its type.")
        yield PayloadPlace("queue", "", "In the queue of a worker that has not reported yet.")
