"""Search in one segment: which index to use, and how to stop in time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.journal.entry import cut, first_id_at
from gateway.journal.matching import client_condition, type_matches
from gateway.journal.query import FAILURES, Query, is_lookup
from gateway.journal.segments.rows import READ, KnownWords, Row, client_numbers, trace_value

CHUNK = 10_000
"""Entries that are scanned before the time is looked at: 2 to 5 ms."""

MAX_BY_INDEX = 2_000
"""Entries with the wanted providers, types and outcomes up to which an index and a sort are faster than a scan in order."""

_MAX_INLINE = 200
"""Numbers of words that stand in the statement itself; more are passed as one JSON list."""

GROUPED = ("provider", "type", "outcome")
"""The fields that are counted in a sealed segment, and have an index together."""

Tallies = Mapping[tuple[int, ...], int]
"""How many entries a sealed segment has of each provider, type and outcome, by the numbers of these words."""


@dataclass(slots=True)
class Conditions:
    """The conditions of a query as SQL over one segment, whose words have numbers of their own.

    Attributes:
        terms: Terms that all hold.
        values: The values of their parameters.
        is_impossible: Whether the segment has no such entry, since a word is not in it.
        is_lookup: Whether an index of a single text or number finds the entries.
        words: The numbers of the words that a field may have.
    """

    terms: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    is_impossible: bool = False
    is_lookup: bool = False
    words: dict[str, set[int]] = field(default_factory=dict)

    def add(self, term: str, *values: object) -> None:
        """Add a term."""
        self.terms.append(term)
        self.values.extend(values)

    def restrict(self, name: str, numbers: set[int]) -> None:
        """Let a field have only words with these numbers."""
        self.words[name] = self.words.get(name, numbers) & numbers

    def groups(self, tallies: Tallies) -> list[tuple[int, ...]]:
        """Return the combinations of provider, type and outcome that are in a sealed segment and meet the conditions."""
        wanted = [self.words.get(name) for name in GROUPED]
        return [
            group
            for group in tallies
            if all(
                numbers is None or number in numbers for number, numbers in zip(group, wanted, strict=True)
            )
        ]


def conditions_of(query: Query, known: KnownWords, connection: sqlite3.Connection) -> Conditions:
    """Return the conditions of a query over a segment."""
    words = known.numbers
    found = Conditions(is_lookup=is_lookup(query))
    for name, wanted in (
        ("kind", query.kinds),
        ("provider", query.providers),
        ("outcome", query.outcomes),
        ("reason", query.reasons),
        ("queue", query.queues),
        ("actor", (query.actor,) if query.actor else ()),
    ):
        if wanted:
            found.restrict(name, {words[name][word] for word in wanted if word in words[name]})
    if query.failures:
        found.restrict("outcome", {words["outcome"][word] for word in FAILURES & words["outcome"].keys()})
    if query.types:
        found.restrict(
            "type",
            {
                number
                for word, number in words["type"].items()
                if any(type_matches(pattern, word) for pattern in query.types)
            },
        )
    if query.client:
        found.restrict("client", client_numbers(connection, client_condition(query.client)))
    for name, numbers in found.words.items():
        found.is_impossible |= not numbers
        found.add(*_is_among(name, numbers))
    _add_lookups(found, query)
    _add_numbers(found, query)
    return found


def _is_among(name: str, numbers: set[int]) -> tuple[str, ...]:
    listed = ",".join(map(str, sorted(numbers)))
    if len(numbers) <= _MAX_INLINE:
        return (f"{name} IN ({listed})",)
    return f"{name} IN (SELECT value FROM json_each(?))", f"[{listed}]"  # noqa: S608 -- the name of a column


def _add_lookups(found: Conditions, query: Query) -> None:
    for name, text in (
        ("event_id", query.event_id),
        ("subject", query.subject),
        ("account", query.account),
    ):
        if text:
            found.add(f"{name} = ?", cut(text))
    if query.text:
        found.add(
            "(event_id = ? OR subject = ? OR account = ? OR trace = ?)",
            *(cut(query.text),) * 3,
            trace_value(query.text),
        )
    if query.request is not None:
        found.add("(id = ? OR request = ?)", query.request, query.request)


def _add_numbers(found: Conditions, query: Query) -> None:
    if query.slot is not None:
        found.add("slot = ?", query.slot)
    if query.min_ms is not None:
        found.add("ms > ?", query.min_ms * 10)
    if query.max_ms is not None:
        found.add("ms < ?", query.max_ms * 10)


def id_bounds(query: Query, before: int | None) -> tuple[int, int]:
    """Return the smallest id that a query can find, and the id below which all that it can find are."""
    low = first_id_at(query.since) if query.since is not None else 0
    high = first_id_at(query.until) if query.until is not None else 2**63 - 1
    return low, high if before is None else min(high, before)


def search(
    connection: sqlite3.Connection,
    conditions: Conditions,
    bounds: tuple[int, int],
    marks: list[int],
    limit: int,
    deadline: float,
    tallies: Tallies | None = None,
) -> tuple[list[Row], int]:
    """Return rows of a segment that meet conditions, newest first, and the id down to which was searched.

    Args:
        connection: The segment.
        conditions: The conditions.
        bounds: The smallest id, and the id below which to search.
        marks: Ids that divide the segment into parts of :data:`CHUNK` entries.
        limit: The most rows.
        deadline: The monotonic time after which no further part is searched.
        tallies: What a sealed segment has; None if there are no indexes.
    """
    low, high = bounds
    if conditions.is_impossible:
        return [], low
    source = "entries"
    if tallies is not None:
        groups = conditions.groups(tallies)
        if not groups:
            return [], low
        is_few = sum(tallies[group] for group in groups) <= MAX_BY_INDEX
        if is_few and not conditions.is_lookup and conditions.words.keys() & set(GROUPED):
            values = ",".join(f"({','.join(map(str, group))})" for group in groups)
            source = (  # SQLite uses the index for a join, though not for `IN (VALUES …)`
                f"(VALUES {values}) AS wanted CROSS JOIN entries INDEXED BY entries_by_group "
                "ON provider = wanted.column1 AND type = wanted.column2 AND outcome = wanted.column3"
            )
    if conditions.is_lookup or source != "entries":
        return _select(connection, source, conditions, low, high, limit), low
    rows: list[Row] = []
    for mark in [*(mark for mark in sorted(marks, reverse=True) if low < mark < high), low]:
        rows += _select(connection, source, conditions, mark, high, limit - len(rows))
        if len(rows) >= limit or mark == low:
            break
        high = mark
        if time.monotonic() >= deadline:
            return rows, mark
    return rows, low


def _select(
    connection: sqlite3.Connection, source: str, conditions: Conditions, low: int, high: int, limit: int
) -> list[Row]:
    where = " AND ".join(["id >= ?", "id < ?", *conditions.terms])
    return connection.execute(
        f"SELECT {READ} FROM {source} WHERE {where} ORDER BY id DESC LIMIT ?",  # noqa: S608 -- values are parameters
        (low, high, *conditions.values, limit),
    ).fetchall()
