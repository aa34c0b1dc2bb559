"""How often things happened, in PostgreSQL: by minute and by hour, of each gateway for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import psycopg

from gateway.journal import Point
from gateway.journal.spans import GAUGE_PREFIX, HOUR, HOURS_KEPT, MINUTE, MINUTES_KEPT, summed

_STEPS = {MINUTE: MINUTES_KEPT, HOUR: HOURS_KEPT}
"""The spans that are kept, and for how long."""


def add(connection: psycopg.Connection, points: Sequence[Point], source: str) -> None:
    """Add numbers to those of their minute and hour."""
    rows = [
        (
            int(step),
            measure,
            provider,
            int(at // step * step),
            source,
            times,
            measure.startswith(GAUGE_PREFIX),
        )
        for step in _STEPS
        for at, provider, measure, times in points
    ]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO journal_points AS kept VALUES (%s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (step, measure, provider, at, source) DO UPDATE SET times = "
            "CASE WHEN %s THEN excluded.times ELSE kept.times + excluded.times END",
            sorted(rows),  # in one order, so that two gateways do not wait for each other
        )


def select(
    connection: psycopg.Connection,
    measures: str,
    since: float,
    until: float,
    step: float,
    provider: str | None,
) -> list[Point]:
    """Return numbers summed over spans, and over the gateways."""
    if step % HOUR == 0:
        return summed(_rows(connection, HOUR, measures, since // HOUR * HOUR, until, provider), step)
    (oldest,) = connection.execute(
        "SELECT min(at) FROM journal_points WHERE step = %s AND at >= %s", (MINUTE, since)
    ).fetchone() or (None,)
    turn = until if oldest is None else min(max(since, oldest), until)
    older = _rows(connection, HOUR, measures, since, turn // HOUR * HOUR, provider)
    newer = _rows(connection, MINUTE, measures, turn, until, provider)
    return summed([*older, *newer], step)


def prune(connection: psycopg.Connection, now: float) -> None:
    """Delete numbers that are too old."""
    for step, kept in _STEPS.items():
        connection.execute("DELETE FROM journal_points WHERE step = %s AND at < %s", (step, now - kept))


def _rows(
    connection: psycopg.Connection,
    step: float,
    measures: str,
    since: float,
    until: float,
    provider: str | None,
) -> list[Point]:
    sums: Counter[tuple[float, str, str]] = Counter()
    rows = connection.execute(
        "SELECT at, provider, measure, times FROM journal_points WHERE step = %s AND starts_with(measure, %s) "
        "AND at >= %s AND at < %s AND (%s::text IS NULL OR provider = %s) ORDER BY at",
        (int(step), measures, since, until, provider, provider),
    )
    for at, name, measure, times in rows:
        sums[float(at), name, measure] += times
    return [Point(*key, times) for key, times in sorted(sums.items())]
