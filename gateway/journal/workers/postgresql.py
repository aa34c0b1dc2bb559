"""The workers that are alive, in PostgreSQL, beside a journal that several gateways share."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import psycopg
from typing_extensions import override

from gateway.journal.reports import Heartbeat
from gateway.journal.workers import MAX_SILENCE, MAX_WORKERS, Workers
from gateway.transport.postgresql import reason_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS whgw_workers (
    queue text NOT NULL, host text NOT NULL, pid bigint NOT NULL, at double precision NOT NULL,
    heartbeat text NOT NULL, PRIMARY KEY (queue, host, pid)
)
"""

_CONNECT_TIMEOUT = 5
"""Seconds to reach the server."""


class PostgresWorkers(Workers):
    """The table in the database at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    @override
    def note(self, heartbeats: Sequence[Heartbeat]) -> None:
        rows = [
            (each.queue, each.host, each.pid, each.at, msgspec.json.encode(each).decode())
            for each in heartbeats
        ]
        with self._lock:
            try:
                connection = self._open()
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(
                        "INSERT INTO whgw_workers VALUES (%s, %s, %s, %s, %s) ON CONFLICT (queue, host, pid) DO UPDATE "
                        "SET at = excluded.at, heartbeat = excluded.heartbeat WHERE excluded.at >= whgw_workers.at",
                        rows,
                    )
                    cursor.execute(
                        "DELETE FROM whgw_workers WHERE (queue, host, pid) IN (SELECT queue, host, pid "
                        "FROM whgw_workers ORDER BY at DESC OFFSET %s)",
                        (MAX_WORKERS,),
                    )
            except psycopg.Error as error:
                raise self._failed(error) from error

    @override
    def alive(self, now: float) -> list[Heartbeat]:
        with self._lock:
            try:
                found = (
                    self._open()
                    .execute(
                        "SELECT heartbeat FROM whgw_workers WHERE at >= %s ORDER BY queue, host, pid",
                        (now - MAX_SILENCE,),
                    )
                    .fetchall()
                )
                heartbeats = [msgspec.json.decode(text, type=Heartbeat) for (text,) in found]
            except (psycopg.Error, msgspec.MsgspecError) as error:
                raise self._failed(error) from error
        return [heartbeat for heartbeat in heartbeats if not heartbeat.has_ended]

    @override
    def close(self) -> None:
        with self._lock:
            self._drop()

    def _open(self) -> psycopg.Connection:
        if self._connection is None:
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT)
            self._connection = connection
            connection.execute(_SCHEMA)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, error: psycopg.Error | msgspec.MsgspecError) -> OSError:
        """Drop the connection, so that the next call makes a new one; return the error of the port."""
        self._drop()
        return OSError(f"PostgreSQL: {reason_of(error) if isinstance(error, psycopg.Error) else error}")
