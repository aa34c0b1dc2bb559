"""Connections to PostgreSQL, kept for the next use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psycopg

CONNECT_TIMEOUT = 5
"""Seconds to connect."""

STATEMENT_TIMEOUT = 30.0
"""Seconds after which PostgreSQL ends a statement: nobody waits for its answer any more."""

MAX_IDLE = 4
"""Connections that are kept unless the user needs more: a writer's, and those of a few pages at a time."""

_SETTINGS = {
    "connect_timeout": CONNECT_TIMEOUT,
    # A server that is gone without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def reason_of(error: psycopg.Error) -> str:
    """Return why PostgreSQL failed, in one line. Its details may quote rows, and are left out."""
    return " ".join((error.diag.message_primary or str(error)).split())


class Connections:
    """Connections to one database. A method may be called by several threads.

    Args:
        url: The address, which may contain a password.
        purpose: What they are for, which PostgreSQL shows.
        max_idle: Connections that are kept.
        trusted_for: Seconds after its last use in which a connection is used without asking whether it still lives.
        settings: Parameters of PostgreSQL for these connections.
    """

    def __init__(
        self,
        url: str,
        purpose: str,
        max_idle: int = MAX_IDLE,
        trusted_for: float = 0.0,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._max_idle = max_idle
        self._trusted_for = trusted_for
        timeout = str(int(STATEMENT_TIMEOUT * 1000))
        self._parameters = {"statement_timeout": timeout, **(settings or {})}
        self._lock = threading.Lock()
        self._idle: list[tuple[psycopg.Connection, float]] = []

    @contextmanager
    def use(self) -> Iterator[psycopg.Connection]:
        """Use a connection that commits each statement, unless a transaction is begun.

        Raises:
            psycopg.Error: The database cannot be reached, or the block failed.
        """
        connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if len(self._idle) < self._max_idle:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def close(self) -> None:
        """Close all connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _take(self) -> psycopg.Connection:
        while True:
            with self._lock:
                connection, used_at = self._idle.pop() if self._idle else (None, 0.0)
            if connection is None:
                return self._connect()
            if time.monotonic() - used_at < self._trusted_for:
                return connection
            with suppress(psycopg.Error):  # it may have been closed by the server meanwhile
                connection.execute("SELECT 1")
                return connection
            connection.close()

    def _connect(self) -> psycopg.Connection:
        name = f"webhook-gateway {self._purpose}"
        connection = psycopg.connect(self._url, autocommit=True, application_name=name, **_SETTINGS)  # type: ignore[arg-type]  # keywords of libpq
        for name, value in self._parameters.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        return connection
