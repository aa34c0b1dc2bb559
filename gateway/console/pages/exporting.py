"""Entries as JSON lines, for programs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import orjson

from gateway.console.pages.formatting import iso
from gateway.journal import Journal
from gateway.journal.entry import Entry
from gateway.journal.entry_ids import format_entry_id

MAX_EVENTS = 200
"""Events that are exported at a time: as many as can be selected on a page, and some."""


def export_lines(journal: Journal, chosen: Sequence[str]) -> bytes:
    """Return all entries of the chosen events, given as `provider/id`, one JSON object a line.

    Raises:
        OSError: The journal cannot be read.
    """
    lines = []
    for each in dict.fromkeys(chosen[:MAX_EVENTS]):
        provider, _, event_id = each.partition("/")
        lines += [orjson.dumps(plain(entry)) + b"\n" for entry in journal.timeline(event_id, provider)]
    return b"".join(lines)


def plain(entry: Entry) -> dict[str, object]:
    """Return an entry by the names of its fields, without those that are empty."""
    fields = {name: value for name, value in msgspec.structs.asdict(entry).items() if value not in {None, ""}}
    numbers = {name: format_entry_id(fields[name]) for name in ("id", "request") if name in fields}
    return {"at": iso(entry.at)} | fields | numbers
