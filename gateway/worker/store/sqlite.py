"""The store in the embedded database: lines and limits are rows beside the claims, and end as they do."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import orjson

from gateway.claims import call_on_failure, ignore_failure
from gateway.claims.sqlite import SqliteClaims
from gateway.worker.store import books

T = TypeVar("T")


class SqliteStore(SqliteClaims):
    """See :class:`gateway.worker.store.Store`; shared by all processes on one ``data_dir``."""

    async def stand(self, line: str, member: str) -> float:
        """See :class:`gateway.worker.store.Store`."""
        return await self._run(
            self._changing_line(line, lambda book: books.stand(book, member, self._clock(), self._lease))
        )

    def put_off(self, line: str, member: str, seconds: float) -> None:
        """See :class:`gateway.worker.store.Store`."""

        def put_off(book: books.Line) -> None:
            if member in book:
                book[member] = self._clock() + seconds

        call_on_failure(self._database.run(self._changing_line(line, put_off)), ignore_failure)

    def leave(self, line: str, member: str) -> None:
        """See :class:`gateway.worker.store.Store`."""
        change = self._changing_line(line, lambda book: book.pop(member, None))
        call_on_failure(self._database.run(change), ignore_failure)

    async def reserve(self, bucket: str, count: int, period: float, longest_wait: float) -> float:
        """See :class:`gateway.worker.store.Store`."""

        def reserve(connection: sqlite3.Connection) -> float:
            now = self._clock()
            grants: list[float] = orjson.loads(self._get(connection, bucket, now) or b"[]")
            wait = books.reserve(grants, count, period, longest_wait, now)
            self._put(connection, bucket, orjson.dumps(grants), max(grants) + period)
            return wait

        return await self._run(reserve)

    def _changing_line(
        self, line: str, change: Callable[[books.Line], T]
    ) -> Callable[[sqlite3.Connection], T]:
        """An operation that reads a line, changes it, and writes it."""

        def operation(connection: sqlite3.Connection) -> T:
            now = self._clock()
            book: books.Line = orjson.loads(self._get(connection, line, now) or b"{}")
            result = change(book)
            self._put(connection, line, orjson.dumps(book), now + self._retention if book else now)
            return result

        return operation
