"""The store in a SQLite file of the data directory, for the gateway on one machine.

Writes share commits; reads have connections of their own, so that they wait neither for a commit nor for a long question.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from typing_extensions import override

from gateway.outbound.ids import first_id
from gateway.outbound.store import StoreUnavailable
from gateway.outbound.store.answers import Tables
from gateway.outbound.store.sql.migrations import migrate, no_tables, version_of
from gateway.outbound.store.sql.refusals import attempted, result_of
from gateway.outbound.store.sql.store import Operations, SqlStore
from gateway.outbound.store.sql.transaction import Transaction
from gateway.transport.sqlite import SqliteFile
from gateway.transport.topic_patterns import matches

FILE_NAME = "outbound.db"
"""The file in the data directory."""

_CHECKPOINT_PAGES = 1000
"""The pages, eight mebibytes, after which the WAL is checkpointed: the indexes of deliveries are written all over, and a page
that changes ten times is then written into the file once. That is a tenth of the processor's time of a batch."""

_LOCK_TIMEOUT = 10.0
"""Seconds that a read waits for a program that recovers or closes the file."""

T = TypeVar("T")


class SqliteTransaction(Transaction):
    """A transaction of a connection. While it writes, no other one does, so that it needs no locks."""

    types: ClassVar[dict[str, str]] = {
        "int": "INTEGER",
        "real": "REAL",
        "text": "TEXT",
        "bytes": "BLOB",
        "loose": "",
        "by_day": "",
        "first_partition": "",
    }
    for_update: ClassVar[str] = ""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock

    @override
    def now(self) -> float:
        return self._clock()

    @override
    def has_table(self, name: str) -> bool:
        return bool(self.rows("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", name))

    @override
    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    @override
    def run(self, statement: str, *parameters: Any) -> int:
        return self._connection.execute(statement, parameters).rowcount

    @override
    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",
            rows,
        )

    @override
    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> set[str]:
        ids = {row[0] for row in rows}
        known = self.rows(f"SELECT id FROM {table} WHERE {self.among('id')}", self.values(ids))
        new = ids - {name for (name,) in known}
        self.insert(table, columns, [row for row in rows if row[0] in new])
        return new

    @override
    def update(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        changes = ", ".join(f"{name} = ?" for name in columns[1:])
        self._connection.executemany(
            f"UPDATE {table} SET {changes} WHERE id = ?",
            [(*row[1:], row[0]) for row in rows],
        )

    @override
    def update_pending(
        self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], rounds: Sequence[int]
    ) -> set[str]:
        changes = ", ".join(f"{name} = ?" for name in columns[1:])
        statement = (
            f"UPDATE outbound_deliveries SET {changes}, ready = CASE WHEN ? = 'pending' THEN ready ELSE 0 END "
            "WHERE id = ? AND state = 'pending' AND round = ?"
        )
        state = columns.index("state")
        return {
            row[0]
            for row, round_ in zip(rows, rounds, strict=True)
            if self.run(statement, *row[1:], row[state], row[0], round_)
        }

    @override
    def among(self, column: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(?))"

    @override
    def values(self, values: Iterable[str]) -> str:
        return json.dumps(list(values))

    @override
    def matching(self, column: str) -> str:
        return f"EXISTS (SELECT 1 FROM json_each(?) WHERE topic_matches(value, {column}))"

    @override
    def patterns(self, patterns: Iterable[str]) -> str:
        return json.dumps(list(patterns))

    @override
    def lock(self, name: str, numbers: Iterable[int] = (0,), *, shared: bool = False) -> None:
        pass

    @override
    def make_room(self, attempts: Iterable[str]) -> None:
        pass

    @override
    def drop_attempts(self, before: float, limit: int) -> int:
        return self.run(
            "DELETE FROM outbound_attempts WHERE id IN "
            "(SELECT id FROM outbound_attempts WHERE id < ? ORDER BY id LIMIT ?)",
            first_id("att", before),
            limit,
        )


class SqliteStore(SqlStore):
    """The store in ``data_dir``, which all processes of one gateway share.

    Args:
        data_dir: The data directory.
        keys: The keys of what is kept encrypted, the newest first.
        clock: Returns the present in Unix seconds.
    """

    def __init__(self, data_dir: Path, keys: Sequence[bytes], clock: Callable[[], float] = time.time) -> None:
        super().__init__(keys)
        self._clock = clock
        self._file = SqliteFile(data_dir / FILE_NAME, "")
        self._reader = _Reader(self._file.path, clock)
        self._browser = _Reader(self._file.path, clock)

    @override
    async def start(self) -> None:
        await self._open()

    @override
    async def tables(self) -> Tables:
        if not self._file.path.exists():  # asking would make it
            return no_tables()
        return await self._browse(version_of)

    @override
    async def migrate(self) -> Tables:
        return await self._open()

    async def _open(self) -> Tables:
        try:
            await self._file.start()
        except OSError as error:
            raise StoreUnavailable(str(error)) from error
        try:
            await self._file.run(_prepare_to_write)
            return await self._write(lambda transaction: migrate(transaction, str(self._file.path)))
        except BaseException:
            await self._file.stop()
            raise

    @override
    async def stop(self) -> None:
        for each in (self._reader, self._browser):
            await each.close()
        await self._file.stop()

    @override
    async def _read(self, operation: Operations[T]) -> T:
        return await self._reader.run(operation)

    @override
    async def _browse(self, operation: Operations[T]) -> T:
        return await self._browser.run(operation)

    @override
    async def _write(self, operation: Operations[T]) -> T:
        def write(connection: sqlite3.Connection) -> object:
            self._file.expect_in_place()
            return attempted(operation, SqliteTransaction(connection, self._clock))

        try:
            result: T = result_of(await self._file.run(write))
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._file.path}: {error}") from error
        return result


class _Reader:
    """A connection that reads, and its thread."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbound-reader")

    async def run(self, operation: Operations[T]) -> T:
        """Run an operation in a transaction that reads."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, operation)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    async def close(self) -> None:
        """Close the connection after the operations that are queued. The next operation opens it again."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    def _run(self, operation: Operations[T]) -> T:
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA query_only = ON")
            _teach(connection)
            self._connection = connection
        self._connection.execute("BEGIN")
        try:
            return operation(SqliteTransaction(self._connection, self._clock))
        finally:
            self._connection.execute("ROLLBACK")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _prepare_to_write(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    _teach(connection)


def _teach(connection: sqlite3.Connection) -> None:
    """Teach a connection how patterns match routing keys."""
    connection.create_function("topic_matches", 2, matches, deterministic=True)
