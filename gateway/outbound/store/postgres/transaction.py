"""A transaction of PostgreSQL. Many run at a time, so that it locks what it may not change together with others."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar

import psycopg
from psycopg import sql
from typing_extensions import override

from gateway.outbound.ids import first_id, moment_of
from gateway.outbound.store.postgres.arrays import PackedArray, pack, pack_texts
from gateway.outbound.store.retention import DAY
from gateway.outbound.store.sql.transaction import Transaction
from gateway.transport.topic_patterns import expression

_REALS = {"accepted_at", "due_at", "created_at", "ended_at", "began_at", "ms", "retry_after", "next_at"}
_INTEGERS = {"attempts", "round", "status", "made", "ready", "retries", "number"}
_BYTES = {"body", "excerpt", "health"}
"""The columns that are no texts."""

_PARTITION = "outbound_attempts_"
"""What the names of the partitions begin with; the number of their day since 1970 follows."""

_OTHER = "outbound_attempts_other"
"""The partition of attempts whose id has no moment."""

_DROP_TIMEOUT = "2s"
"""The wait for those who read a partition. Everybody else would wait behind who waits to drop it."""


class PostgresTransaction(Transaction):
    """A transaction of a connection, or statements that each are one.

    Args:
        connection: The connection.
        days: The days whose partitions are known to be there, which grows.
    """

    types: ClassVar[dict[str, str]] = {
        "int": "bigint",
        "real": "double precision",
        "text": 'text COLLATE "C"',
        "bytes": "bytea",
        "loose": "WITH (fillfactor = 70)",
        "by_day": "PARTITION BY RANGE (id)",
        "first_partition": f"CREATE TABLE {_OTHER} PARTITION OF outbound_attempts DEFAULT;",
    }
    for_update: ClassVar[str] = "FOR UPDATE"

    def __init__(self, connection: psycopg.Connection, days: set[int]) -> None:
        self._connection = connection
        self._days = days

    @override
    def now(self) -> float:
        ((now,),) = self.rows("SELECT extract(epoch FROM clock_timestamp())::double precision")
        return float(now)

    @override
    def has_table(self, name: str) -> bool:
        return self.rows("SELECT to_regclass(?) IS NOT NULL", name) == [(True,)]

    @override
    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(_in_words_of_psycopg(statement), parameters).fetchall()

    @override
    def run(self, statement: str, *parameters: Any) -> int:
        return self._connection.execute(_in_words_of_psycopg(statement), parameters).rowcount

    @override
    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.execute(_insertion(table, tuple(columns)), _arrays(columns, rows))

    @override
    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> set[str]:
        if not rows:
            return set()
        statement = _insertion(table, tuple(columns)) + b" RETURNING id"
        return {name for (name,) in self._connection.execute(statement, _arrays(columns, rows))}

    @override
    def update(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.execute(_change(table, tuple(columns)), _arrays(columns, rows))

    @override
    def update_pending(
        self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], rounds: Sequence[int]
    ) -> set[str]:
        if not rows:
            return set()
        parameters = _arrays(
            (*columns, "round"), [(*row, round_) for row, round_ in zip(rows, rounds, strict=True)]
        )
        return {name for (name,) in self._connection.execute(_change_of_pending(tuple(columns)), parameters)}

    @override
    def among(self, column: str) -> str:
        return f"{column} = ANY(?::text[])"

    @override
    def values(self, values: Iterable[str]) -> PackedArray:
        return pack_texts(values)

    @override
    def matching(self, column: str) -> str:
        return f"'.' || {column} ~ ANY(?)"

    @override
    def patterns(self, patterns: Iterable[str]) -> list[str]:
        return [f"^(?:{expression(pattern)})$" for pattern in patterns]

    @override
    def lock(self, name: str, numbers: Iterable[int] = (0,), *, shared: bool = False) -> None:
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        # One query, which takes them in the order of the array: all take them in one order.
        self.rows(
            f"SELECT {function}(?::int, number) FROM unnest(?::int[]) number",
            _space_of(name),
            sorted(numbers),
        )

    @override
    def make_room(self, attempts: Iterable[str]) -> None:
        moments = (moment_of(each) for each in attempts)
        for day in {int(moment // DAY) for moment in moments if moment is not None} - self._days:
            name = f"{_PARTITION}{day}"
            if self.has_table(name):  # only now it is certain that its maker has committed
                self._days.add(day)
                continue
            self.lock("partitions")
            self._connection.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} PARTITION OF outbound_attempts FOR VALUES FROM ({}) TO ({})"
                ).format(
                    sql.Identifier(name),
                    sql.Literal(first_id("att", day * DAY)),
                    sql.Literal(first_id("att", (day + 1) * DAY)),
                )
            )

    @override
    def drop_attempts(self, before: float, limit: int) -> int:
        days = self.rows(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'outbound_attempts'::regclass ORDER BY c.relname"
        )
        for (name,) in days:
            number = name.removeprefix(_PARTITION)
            if number.isdecimal() and (int(number) + 1) * DAY <= before:
                self._days.discard(int(number))
                self._connection.execute(
                    sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_DROP_TIMEOUT))
                )
                self._connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
                return 1
        return self.run(
            f"DELETE FROM {_OTHER} WHERE id IN (SELECT id FROM {_OTHER} WHERE began_at < ? LIMIT ?)",
            before,
            limit,
        )


@cache
def _in_words_of_psycopg(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()


@cache
def _space_of(name: str) -> int:
    """Return the number that stands for a name of locks: a signed one of 32 bits, as PostgreSQL wants it."""
    return zlib.crc32(f"outbound {name}".encode()) - 2**31


@cache
def _insertion(table: str, columns: tuple[str, ...]) -> bytes:
    arrays = ", ".join(f"%s::{_type_of(name)}[]" for name in columns)
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT (id) DO NOTHING".encode()
    )


@cache
def _change(table: str, columns: tuple[str, ...]) -> bytes:
    arrays = ", ".join(f"%s::{_type_of(name)}[]" for name in columns)
    names = ", ".join(columns)
    changes = ", ".join(f"{name} = changed.{name}" for name in columns[1:])
    return (
        f"UPDATE {table} SET {changes} FROM unnest({arrays}) AS changed({names}) WHERE {table}.id = changed.id"
    ).encode()


@cache
def _change_of_pending(columns: tuple[str, ...]) -> bytes:
    arrays = ", ".join(f"%s::{_type_of(name)}[]" for name in (*columns, "round"))
    changes = ", ".join(f"{name} = changed.{name}" for name in columns[1:])
    return (
        f"UPDATE outbound_deliveries AS d SET {changes}, "
        "ready = CASE WHEN changed.state = 'pending' THEN d.ready ELSE 0 END "
        f"FROM unnest({arrays}) AS changed({', '.join(columns)}, round) "
        "WHERE d.id = changed.id AND d.state = 'pending' AND d.round = changed.round RETURNING d.id"
    ).encode()


def _arrays(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[PackedArray]:
    """Return the columns of rows."""
    return [
        pack(_type_of(name), column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)
    ]


def _type_of(column: str) -> str:
    if column in _REALS:
        return "double precision"
    if column in _INTEGERS:
        return "bigint"
    return "bytea" if column in _BYTES else "text"
