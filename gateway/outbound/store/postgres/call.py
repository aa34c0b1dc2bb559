"""One call of the database, which is given up when it takes too long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg


class Call:
    """What a thread does with a connection. A server that is frozen keeps it waiting, and no timeout of its own ends that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._is_severed = False

    @contextmanager
    def using(self, connection: psycopg.Connection) -> Iterator[None]:
        """Use a connection.

        Raises:
            psycopg.OperationalError: The call was given up before it began.
        """
        with self._lock:
            if self._is_severed:
                raise psycopg.OperationalError("the call was given up before it began")
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def sever(self) -> None:
        """Give the call up: its thread gets an error, as if the server had closed the connection."""
        with self._lock:
            self._is_severed = True
            if self._connection is None:
                return
            with (
                suppress(OSError, psycopg.Error),
                socket.fromfd(self._connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy,
            ):
                copy.shutdown(socket.SHUT_RDWR)
