"""Searching the journal in PostgreSQL within a budget of time: span by span of time, the newest first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.errors import QueryCanceled

from gateway.journal import Arrivals, Page
from gateway.journal.entry import SEQUENCE_BITS, Entry, moment_of
from gateway.journal.postgres.questions import terms_of
from gateway.journal.postgres.tables import SELECTED
from gateway.journal.postgres.writing import entry_of
from gateway.journal.query import Query, is_lookup
from gateway.journal.segments.search import id_bounds

_SECOND = 1000 << SEQUENCE_BITS
"""The difference of ids of a second."""

_FIRST_SPAN = 3_600 * _SECOND
"""The difference of ids of the first span."""

_LEAST_SPAN = 60 * _SECOND
"""The difference of ids of a span that is searched however long it takes, so that every call gets further."""

_GROWTH = 4
"""How much longer the next span is where there was time enough, and how much shorter where there was not."""


def find(connection: psycopg.Connection, query: Query, before: int | None, limit: int, budget: float) -> Page:
    """Return entries, newest first, as the port says."""
    deadline = time.monotonic() + budget
    low, high = id_bounds(query, before)
    begins = connection.execute("SELECT min(id), max(id) FROM journal_entries").fetchone()
    if not begins or begins[0] is None:
        return Page([], None, None, is_complete=True)
    oldest, newest = begins
    low, high = max(low, oldest), min(high, newest + 1)
    span = high - low if is_lookup(query) else _FIRST_SPAN
    entries: list[Entry] = []
    while low < high:
        start = max(low, high - span)
        timeout = None if span <= _LEAST_SPAN or is_lookup(query) else max(deadline - time.monotonic(), 0.01)
        try:
            entries += _select(connection, query, start, high, limit + 1 - len(entries), timeout)
        except QueryCanceled:
            if timeout is None:
                raise
            span = max(span // _GROWTH, _LEAST_SPAN)
        else:
            if len(entries) > limit:
                entries = entries[:limit]
                return Page(entries, entries[-1].id, entries[-1].at, is_complete=False)
            high = start
            span *= _GROWTH
            if low < high and time.monotonic() >= deadline:
                return Page(entries, high, moment_of(high), is_complete=False)
    return Page(entries, None, moment_of(oldest), is_complete=True)


def follow(connection: psycopg.Connection, query: Query, after: int, limit: int) -> Arrivals:
    """Return entries in the order of arrival, as the port says."""
    last = position(connection)
    terms, values = terms_of(query)
    where = _all_of(["seq > %s", "seq <= %s", "id >= %s", "id < %s", *terms])
    rows = connection.execute(
        sql.SQL("SELECT {}, seq FROM journal_entries WHERE {} ORDER BY seq LIMIT %s").format(
            sql.SQL(SELECTED), where
        ),
        (after, last, *id_bounds(query, None), *values, limit),
    ).fetchall()
    entries = [entry_of(row) for row in rows]
    return Arrivals(entries, rows[-1][-1] if len(rows) == limit else max(last, after))


def position(connection: psycopg.Connection) -> int:
    """Return the number of the last arrival."""
    row = connection.execute("SELECT last FROM journal_state").fetchone()
    return row[0] if row else 0


def _select(
    connection: psycopg.Connection, query: Query, low: int, high: int, limit: int, timeout: float | None
) -> list[Entry]:
    terms, values = terms_of(query)
    statement = sql.SQL("SELECT {} FROM journal_entries WHERE {} ORDER BY id DESC LIMIT %s").format(
        sql.SQL(SELECTED), _all_of(["id >= %s", "id < %s", *terms])
    )
    parameters: Sequence[Any] = (low, high, *values, limit)
    with connection.transaction():
        if timeout is not None:
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)", (str(max(int(timeout * 1000), 1)),)
            )
        return [entry_of(row) for row in connection.execute(statement, parameters)]


def _all_of(terms: Sequence[LiteralString]) -> sql.Composed:
    return sql.SQL(" AND ").join(map(sql.SQL, terms))
