"""The JSON of answers. Entries are arrays in the journal's files; here they are objects, as is everything else.

Moments are Unix seconds, as in the whole program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from gateway.journal.entry import Entry, Kind
from gateway.journal.entry_ids import format_entry_id


class EntryView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry of the journal: one thing that happened. What is not known is left out.

    Attributes:
        id: Names the entry; its order is that of time.
        at: When it happened, in Unix seconds.
        kind: What the entry is about.
        outcome: How it ended: of a request or event its outcome, of an attempt its settlement, of an action its name.
        reason: The precise fault of a refusal, `spooled`, or the type of an exception.
        provider: The provider's key in the configuration.
        type: The event type.
        event_id: The event's id.
        subject: The event's subject.
        account: The customer's account at the provider.
        request: The id of the entry of the request that brought the event, if it brought several.
        queue: The worker's queue, or the endpoint.
        gateway: The host that wrote the entry.
        actor: Who acted.
        slot: The position of the secret that matched, from 0.
        key: The fingerprint of that secret.
        status: The HTTP status of the answer.
        ms: How long it took, in milliseconds.
        size: Bytes of the body.
        attempt: The number of the attempt, from 1.
        age: Seconds from the signed timestamp to the receipt.
        client: The client's address, as `journal.addresses` says.
        summary: One line about the event.
        detail: Violated paths and rules, or places of an exception.
        trace: The trace id.
    """

    id: str
    at: float
    kind: Kind
    outcome: str
    reason: str = ""
    provider: str = ""
    type: str = ""
    event_id: str = ""
    subject: str = ""
    account: str = ""
    request: str = ""
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


_SHARED = tuple(name for name in EntryView.__struct_fields__ if name not in {"id", "at", "request"})
"""The fields that an entry and its view have in common."""


def view_of(entry: Entry) -> EntryView:
    """Return an entry as the API shows it."""
    return EntryView(
        id=format_entry_id(entry.id),
        at=entry.at,
        request="" if entry.request is None else format_entry_id(entry.request),
        **{name: getattr(entry, name) for name in _SHARED},
    )


def encode(value: Any) -> bytes:
    """Return the JSON of an answer."""
    return msgspec.json.encode(_plain(value))


def _plain(value: Any) -> Any:
    """Return the value with objects for everything that has names."""
    if isinstance(value, Entry):
        return view_of(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: _plain(getattr(value, name)) for name in value._fields}
    if isinstance(value, list | tuple | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, msgspec.Struct) and not isinstance(value, EntryView):
        config = value.__struct_config__
        shown = {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        if config.omit_defaults:
            return {name: each for name, each in shown.items() if each or each is False}
        return shown
    return value
