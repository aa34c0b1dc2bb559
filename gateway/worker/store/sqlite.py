"""The store in the embedded database: sequences and limits are rows beside the claims.

They expire as claims do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from typing_extensions import override

from gateway.claims import DONE, call_on_failure, ignore_failure
from gateway.claims.sqlite import SqliteClaims
from gateway.worker.store import Store, result_in, sequences
from gateway.worker.store.sequences import Sequence


class SqliteStore(SqliteClaims, Store):
    """A store that all processes with one ``data_dir`` share."""

    @override
    async def result_of(self, key: str) -> str | None:
        return await self._run(
            lambda connection: result_in(self._get(connection, key, self._clock.now(connection)))
        )

    @override
    async def take_turn(self, sequence: str, member: str) -> float:
        def take_turn(connection: sqlite3.Connection) -> float:
            now = self._clock.now(connection)

            def is_done(key: str) -> bool:
                return self._get(connection, key, now) == DONE

            with self._open_sequence(connection, sequence, now) as members:
                return sequences.take_turn(members, member, now, self._lease, is_done)

        return await self._run(take_turn)

    @override
    async def defer(self, sequence: str, member: str, seconds: float | None) -> None:
        def defer(connection: sqlite3.Connection) -> None:
            now = self._clock.now(connection)
            with self._open_sequence(connection, sequence, now) as members:
                if member in members:
                    members[member] = 0.0 if seconds is None else now + seconds

        await self._run(defer)

    @override
    def complete(self, sequence: str, member: str) -> None:
        def complete(connection: sqlite3.Connection) -> None:
            with self._open_sequence(connection, sequence, self._clock.now(connection)) as members:
                members.pop(member, None)

        call_on_failure(self._database.run(complete), ignore_failure)

    @override
    async def reserve(self, bucket: str, count: int, period: float, max_wait: float) -> float:
        def reserve(connection: sqlite3.Connection) -> float:
            now = self._clock.now(connection)
            starts: list[float] = orjson.loads(self._get(connection, bucket, now) or b"[]")
            wait = sequences.reserve(starts, count, period, max_wait, now)
            self._put(connection, bucket, orjson.dumps(starts), max(starts) + period)
            return wait

        return await self._run(reserve)

    @contextmanager
    def _open_sequence(self, connection: sqlite3.Connection, sequence: str, now: float) -> Iterator[Sequence]:
        """Load the members of a sequence, and store them after the block; an empty one expires."""
        members: Sequence = orjson.loads(self._get(connection, sequence, now) or b"{}")
        yield members
        self._put(connection, sequence, orjson.dumps(members), now + self._retention if members else now)
