"""Texts and numbers of an entry within what every journal can keep: reports come from programs of any version."""

from __future__ import annotations

import msgspec

from gateway.journal.entry import MAX_DETAIL, MAX_TEXT, Entry, cut

MAX_WORD = 255
"""Bytes of a word that repeats, such as a type, a queue or an actor: as long as a routing key."""

MAX_SUMMARY = 300
"""Bytes of a summary; the envelope's has at most 200 characters."""

MAX_ID = 2**63 - 1
"""The largest id of an entry: what databases have as an integer."""

_MAX_NUMBER = 2**53
"""The largest number: every JSON reader has integers up to here."""

_LIMITS = {
    "outcome": MAX_WORD,
    "reason": MAX_WORD,
    "provider": MAX_WORD,
    "type": MAX_WORD,
    "event_id": MAX_TEXT,
    "subject": MAX_TEXT,
    "account": MAX_TEXT,
    "queue": MAX_WORD,
    "gateway": MAX_WORD,
    "actor": MAX_WORD,
    "key": MAX_WORD,
    "client": MAX_WORD,
    "summary": MAX_SUMMARY,
    "detail": MAX_DETAIL,
    "trace": MAX_WORD,
}
_INTEGERS = ("slot", "status", "size", "attempt")
_DECIMALS = ("ms", "age")


def bounded(entry: Entry) -> Entry | None:
    """Return the entry with its texts cut and its numbers rounded; None if its id cannot be kept.

    Characters that a database cannot keep, NUL and half of a surrogate pair, are replaced.
    """
    if not 0 < entry.id <= MAX_ID:
        return None
    changes: dict[str, object] = {}
    for name, limit in _LIMITS.items():
        text = getattr(entry, name)
        if text and (cut := _kept(text, limit)) != text:
            changes[name] = cut
    for name in _INTEGERS:
        number = getattr(entry, name)
        if number is not None and not -_MAX_NUMBER < number < _MAX_NUMBER:
            changes[name] = None
    for name in _DECIMALS:
        number = getattr(entry, name)
        if number is not None:
            changes[name] = round(number, 1) if -_MAX_NUMBER < number < _MAX_NUMBER else None
    if entry.request is not None and not 0 < entry.request <= MAX_ID:
        changes["request"] = None
    return msgspec.structs.replace(entry, **changes) if changes else entry


def is_plain(entry: Entry) -> bool:
    """Return whether :func:`bounded` would at most round numbers: true of most entries, and found out in a microsecond."""
    ids = entry.event_id + entry.subject + entry.account
    texts = entry.summary + entry.detail
    words = entry.outcome + entry.reason + entry.provider + entry.type + entry.queue + entry.gateway
    words += entry.actor + entry.key + entry.client + entry.trace
    all_texts = ids + texts + words
    numbers = abs(entry.slot or 0) + abs(entry.status or 0) + abs(entry.size or 0) + abs(entry.attempt or 0)
    return (
        0 < entry.id <= MAX_ID
        and len(ids) <= MAX_TEXT
        and len(texts) <= MAX_SUMMARY
        and len(words) <= MAX_WORD
        and all_texts.isascii()
        and "\0" not in all_texts
        and numbers + abs(entry.ms or 0) + abs(entry.age or 0) < _MAX_NUMBER
        and (entry.request is None or 0 < entry.request <= MAX_ID)
    )


def _kept(text: str, limit: int) -> str:
    if len(text) <= limit and text.isascii() and "\0" not in text:
        return text
    return cut(text.replace("\0", "\ufffd"), limit)
