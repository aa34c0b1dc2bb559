"""The rows of a spool: one message each, with a digest that is checked when the row is read."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from gateway.events.message import Message

SCHEMA = """
CREATE TABLE IF NOT EXISTS spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT, head BLOB NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS corrupt (
    id INTEGER PRIMARY KEY, head BLOB, body BLOB, digest BLOB, reason TEXT, found_at REAL
);
"""
"""The tables: the messages that wait, and the rows that were set aside."""

OVERHEAD = 512
"""Bytes counted for a row besides its body: the other columns, and what the file needs around them."""

COLUMNS = "id, CAST(head AS BLOB), CAST(body AS BLOB), CAST(digest AS BLOB)"
"""The columns that :func:`decode` takes. The casts give bytes even if a flipped bit has changed a column's type."""

_DIGEST_SIZE = 16
"""Bytes of a digest, which finds damage by accident; nobody is expected to forge a row."""

Row = tuple[int, Any, Any, Any]
"""Id, head, body and digest, as read from a file that may be damaged."""


class CorruptRow(ValueError):
    """Raised when a row is not what was written."""


@dataclass(frozen=True, slots=True)
class SpooledMessage:
    """A message and its place in the spool.

    Attributes:
        row: The id of the row; later messages have higher ids.
        message: The message, as it was accepted.
        spooled_at: When it was accepted, in Unix seconds.
    """

    row: int
    message: Message
    spooled_at: float

    @property
    def size(self) -> int:
        """Return the bytes that count against the spool's limit."""
        return OVERHEAD + len(self.message.body)


def encode(message: Message, now: float) -> tuple[bytes, bytes, bytes]:
    """Return head, body and digest of the row for ``message``.

    Raises:
        TypeError: A text of the message is no string; no broker would take it either.
    """
    head = orjson.dumps(
        [message.exchange, message.routing_key, message.message_id, message.type, message.headers, now]
    )
    return head, message.body, _digest(head, message.body)


def decode(row: Row) -> SpooledMessage:
    """Return the message of a row.

    Raises:
        CorruptRow: The row is not what was written.
    """
    number, head, body, digest = row
    if not (isinstance(head, bytes) and isinstance(body, bytes)) or digest != _digest(head, body):
        raise CorruptRow("does not match its digest")
    try:
        exchange, routing_key, message_id, kind, headers, spooled_at = orjson.loads(head)
    except (ValueError, TypeError) as error:  # no JSON, or not what we write
        raise CorruptRow(f"cannot be read: {error}") from error
    return SpooledMessage(number, Message(exchange, routing_key, message_id, kind, headers, body), spooled_at)


def totals(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return how many messages wait, the size of all rows in bytes, and how many rows were set aside.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    count, size = connection.execute("SELECT COUNT(*), TOTAL(LENGTH(body)) FROM spool").fetchone()
    corrupt, corrupt_size = connection.execute("SELECT COUNT(*), TOTAL(LENGTH(body)) FROM corrupt").fetchone()
    return count, int(size + corrupt_size) + (count + corrupt) * OVERHEAD, corrupt


def _digest(head: bytes, body: bytes) -> bytes:
    # With the length of the head: otherwise moving a byte from the head to the body would not change the digest.
    digest = blake2b(len(head).to_bytes(4, "big"), digest_size=_DIGEST_SIZE)
    digest.update(head)
    digest.update(body)
    return digest.digest()
