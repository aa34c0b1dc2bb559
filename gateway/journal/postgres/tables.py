"""The tables of the journal in PostgreSQL.

Entries are partitioned by day, by their ids, so that what is too old is dropped and not deleted row by row.
"""

from __future__ import annotations

import re

import msgspec

from gateway.journal.entry import Entry, first_id_at, moment_of

DAY = 86_400.0
"""Seconds of a partition."""

COLUMNS = tuple(field.name for field in msgspec.structs.fields(Entry))
"""The columns of an entry are its fields, in their order."""

_NUMBERS = {
    "id": "bigint NOT NULL",
    "request": "bigint",
    "slot": "bigint",
    "status": "bigint",
    "ms": "double precision",
    "size": "bigint",
    "attempt": "bigint",
    "age": "double precision",
}

_PARTITION = re.compile(r"journal_entries_(\d+)")

SELECTED = ", ".join(COLUMNS)
"""The columns as a statement names them."""

TABLES = f"""
CREATE TABLE IF NOT EXISTS journal_state (
    id integer PRIMARY KEY CHECK (id = 1), last bigint NOT NULL
);
INSERT INTO journal_state VALUES (1, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS journal_entries (
    {", ".join(f"{name} {_NUMBERS.get(name, 'text NOT NULL')}" for name in COLUMNS)},
    seq bigint NOT NULL, network inet, PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX IF NOT EXISTS journal_entries_by_event ON journal_entries (event_id) WHERE event_id <> '';
CREATE INDEX IF NOT EXISTS journal_entries_by_subject ON journal_entries (subject) WHERE subject <> '';
CREATE INDEX IF NOT EXISTS journal_entries_by_account ON journal_entries (account) WHERE account <> '';
CREATE INDEX IF NOT EXISTS journal_entries_by_trace ON journal_entries (trace) WHERE trace <> '';
CREATE INDEX IF NOT EXISTS journal_entries_by_request ON journal_entries (request) WHERE request IS NOT NULL;
CREATE INDEX IF NOT EXISTS journal_entries_by_outcome ON journal_entries (provider, outcome, id);
CREATE INDEX IF NOT EXISTS journal_entries_by_type ON journal_entries (provider, type, id);
CREATE INDEX IF NOT EXISTS journal_entries_by_arrival ON journal_entries (seq);
CREATE TABLE IF NOT EXISTS journal_positions (
    source text NOT NULL, file text NOT NULL, inode text NOT NULL, read bigint NOT NULL, PRIMARY KEY (source, file)
);
CREATE TABLE IF NOT EXISTS journal_sources (source text PRIMARY KEY, unreadable bigint NOT NULL);
CREATE TABLE IF NOT EXISTS journal_points (
    step integer NOT NULL, measure text NOT NULL, provider text NOT NULL, at bigint NOT NULL, source text NOT NULL,
    times double precision NOT NULL, PRIMARY KEY (step, measure, provider, at, source)
);
"""  # noqa: S608 -- our constants
"""All tables. ``journal_state.last`` is the number of the last arrival; who adds entries has a lock on it, so that
entries become visible in the order of their arrival."""


def partition_of(entry_id: int) -> tuple[str, int, int]:
    """Return the name of the partition of an entry, the smallest id in it, and the id before which it ends."""
    day = int(moment_of(entry_id) // DAY)
    return f"journal_entries_{day}", first_id_at(day * DAY), min(first_id_at((day + 1) * DAY), 2**63 - 1)


def day_of(partition: str) -> float | None:
    """Return when the day of a partition begins, in Unix seconds; None if it is no partition."""
    match = _PARTITION.fullmatch(partition)
    return int(match[1]) * DAY if match else None
