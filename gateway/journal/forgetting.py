"""What stays of an entry when its event is erased."""

from __future__ import annotations

import msgspec

from gateway.journal.entry import Entry

ERASED = ("event_id", "subject", "account", "client", "summary", "detail", "trace")
"""The fields that may say something about a person. That something happened, when, and with which outcome stays."""


def forgotten(entry: Entry) -> Entry:
    """Return the entry without its texts."""
    return msgspec.structs.replace(entry, **dict.fromkeys(ERASED, ""))
