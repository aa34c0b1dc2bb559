"""Adding to the journal in PostgreSQL: in the order in which it becomes visible, and without losing an id twice given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from gateway.journal.bounds import bounded
from gateway.journal.entry import Entry, Kind
from gateway.journal.forgetting import forgotten
from gateway.journal.postgres.questions import network_of
from gateway.journal.postgres.tables import COLUMNS, SELECTED, TABLES, partition_of

_COPY = sql.SQL("COPY journal_entries ({}, seq, network) FROM STDIN").format(
    sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
)

_LOCK = 0x6A6F75726E616C
"""The advisory lock ("journal") of who makes tables, so that two gateways that start together do not collide."""


def make_tables(connection: psycopg.Connection) -> None:
    """Make the tables, unless they are there: a user that may not make any can use them then."""
    if connection.execute("SELECT to_regclass('journal_points') IS NOT NULL").fetchone() == (True,):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(TABLES)


def insert(connection: psycopg.Connection, entries: Sequence[Entry]) -> int:
    """Add entries within a transaction, and return how many were new."""
    # The lock makes others wait until the commit, so that who follows the arrivals sees no gap that is filled later.
    row = connection.execute("SELECT last FROM journal_state FOR UPDATE").fetchone()
    last: int = row[0] if row else 0
    fresh = _free_of_collisions(connection, [each for entry in entries if (each := bounded(entry))])
    if not fresh:
        return 0
    for name, low, high in {partition_of(entry.id) for entry in fresh}:
        _make_partition(connection, name, low, high)
    with connection.cursor().copy(_COPY) as copy:
        for seq, entry in enumerate(fresh, last + 1):
            copy.write_row((*map(_plain, msgspec.structs.astuple(entry)), seq, network_of(entry.client)))
    connection.execute("UPDATE journal_state SET last = %s", (last + len(fresh),))
    return len(fresh)


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the entry of a row, which begins with its columns."""
    return Entry(row[0], Kind(row[1]), *row[2 : len(COLUMNS)])


def _free_of_collisions(connection: psycopg.Connection, entries: list[Entry]) -> list[Entry]:
    """Return the entries that are not there yet, each with an id that is free."""
    known = _known(connection, [entry.id for entry in entries])
    fresh: list[Entry] = []
    for each in entries:
        entry = each
        while there := known.get(entry.id):
            if there in {entry, forgotten(entry)}:
                break
            # The same entry has the same place when it comes again, since it meets the same others on the way.
            entry = msgspec.structs.replace(entry, id=entry.id + 1)
            if entry.id not in known:
                known |= _known(connection, [entry.id])
        else:
            known[entry.id] = entry
            fresh.append(entry)
    return fresh


def _known(connection: psycopg.Connection, ids: list[int]) -> dict[int, Entry]:
    rows: Iterable[Sequence[Any]] = connection.execute(
        sql.SQL("SELECT {} FROM journal_entries WHERE id = ANY(%s)").format(sql.SQL(SELECTED)), (ids,)
    )
    return {row[0]: entry_of(row) for row in rows}


def _make_partition(connection: psycopg.Connection, name: str, low: int, high: int) -> None:
    if connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone() == (True,):
        return
    connection.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} PARTITION OF journal_entries FOR VALUES FROM ({}) TO ({})"
        ).format(sql.Identifier(name), sql.Literal(low), sql.Literal(high))
    )


def _plain(value: object) -> object:
    """Return words of our enums as texts, which psycopg would write by their names."""
    return str(value) if isinstance(value, str) else value
