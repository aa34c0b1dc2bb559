"""The store in the embedded database: lines and limits are rows beside the claims, and end as they do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from gateway.claims import DONE, call_on_failure, ignore_failure
from gateway.claims.sqlite import SqliteClaims
from gateway.worker.store import sequences


class SqliteStore(SqliteClaims):
    """See :class:`gateway.worker.store.Store`; shared by all processes on one ``data_dir``."""

    async def stand(self, line: str, member: str) -> float:
        """See :class:`gateway.worker.store.Store`."""

        def stand(connection: sqlite3.Connection) -> float:
            now = self._clock.now(connection)

            def is_done(other: str) -> bool:
                return self._get(connection, other, now) == DONE

            with self._line(connection, line, now) as book:
                return sequences.stand(book, member, now, self._lease, is_done)

        return await self._run(stand)

    async def defer(self, line: str, member: str, seconds: float | None) -> None:
        """See :class:`gateway.worker.store.Store`."""

        def defer(connection: sqlite3.Connection) -> None:
            now = self._clock.now(connection)
            with self._line(connection, line, now) as book:
                if member in book:
                    book[member] = 0.0 if seconds is None else now + seconds

        await self._run(defer)

    def leave(self, line: str, member: str) -> None:
        """See :class:`gateway.worker.store.Store`."""

        def leave(connection: sqlite3.Connection) -> None:
            with self._line(connection, line, self._clock.now(connection)) as book:
                book.pop(member, None)

        call_on_failure(self._database.run(leave), ignore_failure)

    async def reserve(self, bucket: str, count: int, period: float, longest_wait: float) -> float:
        """See :class:`gateway.worker.store.Store`."""

        def reserve(connection: sqlite3.Connection) -> float:
            now = self._clock.now(connection)
            grants: list[float] = orjson.loads(self._get(connection, bucket, now) or b"[]")
            wait = sequences.reserve(grants, count, period, longest_wait, now)
            self._put(connection, bucket, orjson.dumps(grants), max(grants) + period)
            return wait

        return await self._run(reserve)

    @contextmanager
    def _line(self, connection: sqlite3.Connection, line: str, now: float) -> Iterator[sequences.Line]:
        """The line, to be changed."""
        book: sequences.Line = orjson.loads(self._get(connection, line, now) or b"{}")
        yield book
        self._put(connection, line, orjson.dumps(book), now + self._retention if book else now)
