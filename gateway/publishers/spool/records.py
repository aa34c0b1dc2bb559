"""The rows of a spool: a message each, with a digest over all of it that is checked when it is read."""

from __future__ import annotations

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
OVERHEAD = 512
"""Bytes that are counted for a row beside its body: its other fields, and what the file needs around them."""

COLUMNS = "id, CAST(head AS BLOB), CAST(body AS BLOB), CAST(digest AS BLOB)"
"""What :func:`decode` takes: as bytes, whatever a flipped bit makes SQLite take them for."""

_DIGEST_SIZE = 16

Row = tuple[int, Any, Any, Any]
"""Id, head, body and digest as they are in the file, whatever that may be."""


class CorruptRow(ValueError):
    """The row is not what was written, or nothing that could be published."""


@dataclass(frozen=True, slots=True)
class SpooledMessage:
    """A message and its place in the spool.

    Attributes:
        row: its id; later messages have higher ones.
        message: as it was accepted.
        spooled_at: when that was, in Unix seconds.
    """

    row: int
    message: Message
    spooled_at: float

    @property
    def size(self) -> int:
        """Bytes that it takes of the spool."""
        return OVERHEAD + len(self.message.body)


def encode(message: Message, now: float) -> tuple[bytes, bytes, bytes]:
    """Head, body and digest of the row for ``message``.

    Raises:
        TypeError: a text of it is none; no broker would take it either.
    """
    head = orjson.dumps(
        [message.exchange, message.routing_key, message.message_id, message.type, message.headers, now]
    )
    return head, message.body, _digest(head, message.body)


def decode(row: Row) -> SpooledMessage:
    """What was encoded.

    Raises:
        CorruptRow: it is something else by now.
    """
    number, head, body, digest = row
    if not (isinstance(head, bytes) and isinstance(body, bytes)) or digest != _digest(head, body):
        raise CorruptRow("does not match its digest")
    try:
        exchange, routing_key, message_id, kind, headers, spooled_at = orjson.loads(head)
    except (ValueError, TypeError) as error:  # no JSON, or not what we write
        raise CorruptRow(f"cannot be read: {error}") from error
    return SpooledMessage(number, Message(exchange, routing_key, message_id, kind, headers, body), spooled_at)


def _digest(head: bytes, body: bytes) -> bytes:
    # The length tells where the head ends: no byte can change sides.
    digest = blake2b(len(head).to_bytes(4, "big"), digest_size=_DIGEST_SIZE)
    digest.update(head)
    digest.update(body)
    return digest.digest()
