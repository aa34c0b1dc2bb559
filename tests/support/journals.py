"""Entries and journals for tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import msgspec

from gateway.journal.entry import Entry, Kind, first_id_at

NOW = time.time() // 60 * 60
"""The moment that entries of tests are near: the beginning of a minute that has just passed."""


def entry(number: int, **fields: Any) -> Entry:
    """Return the `number`-th entry, made `number` seconds after an hour ago."""
    values: dict[str, Any] = {
        "id": first_id_at(NOW - 3600 + number),
        "kind": Kind.RECEIVED,
        "outcome": "accepted",
        "provider": "stripe",
        "type": "invoice.paid",
        "event_id": f"evt_{number}",
    }
    return Entry(**values | fields)


def entries(number: int, **fields: Any) -> list[Entry]:
    """Return so many entries, oldest first."""
    return [entry(each, **fields) for each in range(number)]


def line_of(each: Entry) -> bytes:
    """Return the entry as a process writes it."""
    return msgspec.json.encode(each) + b"\n"


def full_entry() -> Entry:
    """Return an entry with a value in every field."""
    texts: Iterator[int] = count()
    return Entry(
        first_id_at(NOW),
        Kind.HANDLED,
        "retried",
        "TimeoutError",
        "stripe",
        "invoice.paid",
        f"evt_{next(texts)}",
        "in_1",
        "acct_1",
        first_id_at(NOW - 1),
        "billing",
        "host-1",
        "worker-1",
        1,
        "k1:abcdef",
        202,
        12.3,
        4_321,
        2,
        -0.5,
        "203.0.113.0/24",
        "Rechnung über 12 € 🎉 \x1b[31m",
        "TimeoutError at handler.py:12",
        "0af7651916cd43dd8448eb211c80319c",
    )
