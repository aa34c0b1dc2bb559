"""Databases of the way out that have much in them: written at once, and not by accepting and delivering each of it."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql
from typing_extensions import override

from gateway.outbound.ids import first_id, message_id
from gateway.outbound.models import Attempt, Delivery, DeliveryState, OutboundMessage, Trigger
from gateway.outbound.store.postgres.transaction import PostgresTransaction
from gateway.outbound.store.sql.codec import (
    ATTEMPT,
    DELIVERY,
    MATCHED,
    MESSAGE,
    attempt_row,
    delivery_row,
    message_row,
)
from gateway.outbound.store.sqlite import FILE_NAME

_BATCH = 20_000
"""Deliveries that are written in one transaction."""

_BODY = b'{"specversion":"1.0","type":"com.acme.order.paid","data":{"sent_at":1.5,"padding":"%s"}}' % (
    b"x" * 300
)

Made = tuple[OutboundMessage, Delivery, Attempt | None]
"""An event, its delivery, and the last attempt of that."""


class Writer(Protocol):
    """Writes rows of a table."""

    def write(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows."""

    def make_room(self, attempts: Sequence[str]) -> None:
        """Make partitions for attempts."""

    def commit(self) -> None:
        """End a transaction."""

    def close(self) -> None:
        """Prepare the database for reading, and close it."""


class SqliteWriter(Writer):
    """Writes into the file of a data directory."""

    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(directory / FILE_NAME)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA cache_size = -400000")

    @override
    def write(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    @override
    def make_room(self, attempts: Sequence[str]) -> None:
        pass

    @override
    def commit(self) -> None:
        self._connection.commit()

    @override
    def close(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


class PostgresWriter(Writer):
    """Writes into a database by COPY."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)
        self._transaction = PostgresTransaction(self._connection, set())

    @override
    def write(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    @override
    def make_room(self, attempts: Sequence[str]) -> None:
        self._transaction.make_room(attempts)

    @override
    def commit(self) -> None:
        self._connection.commit()

    @override
    def close(self) -> None:
        self._connection.autocommit = True
        # The statistics that a server gathers by itself in a minute.
        self._connection.execute("VACUUM ANALYZE")
        self._connection.close()


def fill(
    writer: Writer, made: Iterator[Made], tenant: Callable[[str], str], note: Callable[[int], None]
) -> None:
    """Write what was made.

    Args:
        writer: Writes it.
        made: What is written, oldest first.
        tenant: Returns the tenant of an endpoint.
        note: Called with the number of deliveries so far.
    """
    written = 0
    while batch := list(islice(made, _BATCH)):
        writer.write(
            "outbound_messages", (*MESSAGE, "event"), [message_row(message) for message, _, _ in batch]
        )
        rows = [
            delivery_row(each, message, tenant(each.endpoint), is_gone=False, now=0.0)
            for message, each, _ in batch
        ]
        writer.write("outbound_deliveries", (*DELIVERY, *MATCHED), rows)
        attempts = [attempt for _, _, attempt in batch if attempt is not None]
        writer.make_room([attempts[0].id, attempts[-1].id] if attempts else [])
        writer.write("outbound_attempts", ATTEMPT, list(map(attempt_row, attempts)))
        writer.commit()
        written += len(batch)
        note(written)


def pending(count: int, endpoints: Sequence[str]) -> Iterator[Made]:
    """Make deliveries that are due, in turn to each of the endpoints, accepted within the last hour."""
    now = time.time()
    for number in range(count):
        at = now - 3600 + 3599 * number / count
        message = _message(number, at, "acme.order.paid")
        yield message, _delivery(number, at, endpoints[number % len(endpoints)], message), None


_DEAD, _CANCELLED, _HELD, _PENDING = 0.015, 0.02, 0.025, 0.03
"""Of deliveries, so many are dead, or cancelled, or held, or pending, each beyond the one before."""


def ended(count: int, endpoints: Sequence[str], seed: int = 15) -> Iterator[Made]:
    """Make deliveries of the last 29 days, of which nearly all were delivered at the first attempt."""
    chance, now = random.Random(seed), time.time()
    for number in range(count):
        at = now - 29 * 86_400 * (1 - number / count) - 60
        message = _message(number, at, f"acme.order.n{chance.randrange(100)}")
        fresh = _delivery(number, at, chance.choice(endpoints), message)
        drawn = chance.random()
        state = (
            DeliveryState.DEAD
            if drawn < _DEAD
            else DeliveryState.CANCELLED
            if drawn < _CANCELLED
            else DeliveryState.HELD
            if drawn < _HELD
            else DeliveryState.PENDING
            if drawn < _PENDING
            else DeliveryState.DELIVERED
        )
        is_delivered = state is DeliveryState.DELIVERED
        outcome = (
            "delivered"
            if is_delivered
            else chance.choice(("status", "timeout_head", "connect", "tls_expired"))
        )
        status = 200 if is_delivered else chance.choice((500, 502, 503, 404)) if outcome == "status" else None
        is_over = state not in {DeliveryState.PENDING, DeliveryState.HELD}
        delivery = Delivery(
            id=fresh.id, endpoint=fresh.endpoint, message=fresh.message, state=state, due_at=at + 86_400 * 40, made=1,
            created_at=at, ended_at=at + 1 if is_over else None, status=status, outcome=outcome,
        )  # fmt: skip
        attempt = Attempt(
            id=_id("att", number, at), delivery=delivery.id, endpoint=delivery.endpoint, message=message.id, number=1,
            trigger=Trigger.AUTO, at=at, outcome=outcome, status=status, ms=12.5, phases={"head": 12.1}, address="198.51.100.7",
            excerpt=b"" if is_delivered else b"temporarily unavailable", next_at=None,
        )  # fmt: skip
        yield message, delivery, attempt


def _message(number: int, at: float, key: str) -> OutboundMessage:
    event_id = f"evt_{number:026d}"
    return OutboundMessage(
        id=message_id("default", "/acme", event_id), tenant="default", key=key, event_id=event_id, source="/acme",
        type=f"com.{key}", provider="acme", accepted_at=at, body=_BODY,
    )  # fmt: skip


def _delivery(number: int, at: float, endpoint: str, message: OutboundMessage) -> Delivery:
    return Delivery(
        id=_id("dlv", number, at), endpoint=endpoint, message=message.id, due_at=at, created_at=at
    )


def _id(prefix: str, number: int, at: float) -> str:
    """Return an id of a moment that no other number has."""
    return f"{first_id(prefix, at)[:-12]}{number:012d}"
