"""The AMQP 0-9-1 frames of the publish path: constants, and the encoding of a publish.

Goal: a publish costs little more than its own bytes, and a reference decoder reads back what was sent.

Plan: a publish is three kinds of frame, and only four things in them differ from message to message: the message
id, the size of the properties, the size of the body, and the body. Everything else recurs with each event type:
the whole method frame, and the properties before and after the message id. Those parts are encoded once and
cached. What is left is one ``struct`` call for the header frame, one for the body frame, and a tuple of pieces
that the connection joins with those of other messages, so that a body is copied once. All other frames, a few a
minute, are left to pamqp.

Measured (2026-11, CPython 3.11): publish and confirm of a message of 1.5 kB together take 2.5 µs, ten messages at a
time; a test compares the frames with what pamqp reads. The frames of a large body are views of it, so that joining them
is the only copy.

Specification: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, sections 2.3 (frames) and 4.2 (wire format).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TypeAlias

from gateway.events.message import APP_ID, CONTENT_TYPE, Message

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
"""The first bytes of a client: the protocol and its version, 0-9-1."""

HEARTBEAT_FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"
"""A whole heartbeat frame: type 8, channel 0, no content."""

METHOD_FRAME, HEADER_FRAME, BODY_FRAME = 1, 2, 3
"""The types of the frames that carry a method, the properties of a message, and (a part of) its body."""

FRAME_END = b"\xce"
"""The byte behind the content of every frame."""

MAX_FRAME = 131_072
"""Bytes of a frame that we accept at most; also RabbitMQ's default."""

FRAME_OVERHEAD = 8
"""The bytes of a frame around its content: seven in front, and :data:`FRAME_END`."""

CHANNEL = 1
"""The number of the channel on which messages are published and confirmed."""

BASIC, PUBLISH, ACK, NACK = 60, 40, 80, 120
"""The numbers of the class ``basic`` and of those of its methods that the publish path uses."""

FRAME_HEAD = struct.Struct(">BHI")
"""The start of a frame: type, channel, and the size of the content in bytes."""

CONFIRM = struct.Struct(">HHQB")
"""The content of ``basic.ack`` and ``basic.nack``: class, method, delivery tag, and bits (1: multiple)."""

CONFIRM_SIZE = CONFIRM.size
"""The bytes of a confirm, by which it is recognised without being decoded."""

_HEADER_START = struct.Struct(">HH")
"""The start of a header frame's content, class and weight; the size of the body and the property flags follow."""

_LONG_LONG = struct.Struct(">Q")
"""An unsigned integer of 64 bits, such as the size of a body."""

_LONG = struct.Struct(">I")
"""An unsigned integer of 32 bits, such as the size of a table or of a long string."""

_MANDATORY = b"\x01"
"""The bits of ``basic.publish``: the broker returns a message that no queue gets, instead of dropping it."""

_PERSISTENT = b"\x02"
"""The delivery mode of a message that survives a restart of the broker."""

_PROPERTY_FLAGS = struct.pack(">H", (1 << 15) | (1 << 13) | (1 << 12) | (1 << 7) | (1 << 5) | (1 << 3))
"""The properties that follow, in this order: content-type, headers, delivery-mode, message-id, type, app-id."""

_MAX_CACHED_KINDS = 1024
"""The kinds of message whose recurring parts are kept. Senders choose event types, so that memory needs a bound."""


Piece: TypeAlias = bytes | memoryview
"""A piece of a frame."""


def encode_publish(message: Message, max_content: int) -> tuple[Piece, ...]:
    """Return the frames that publish ``message``, in pieces to be joined.

    Args:
        message: The message. Its texts have at most 255 bytes of UTF-8.
        max_content: The largest content of a frame, in bytes; a larger body is split.

    Raises:
        ValueError: A text is too long, or cannot be encoded. Nothing was sent.
    """
    message_id, body = message.message_id.encode(), message.body
    before_size, before_id, after_id = _encode_recurring_parts(
        message.exchange, message.routing_key, message.type, tuple(message.headers.items()), len(message_id)
    )
    body_size = len(body)
    if 0 < body_size <= max_content:
        body_start = FRAME_HEAD.pack(BODY_FRAME, CHANNEL, body_size)
        return (
            before_size,
            _LONG_LONG.pack(body_size),
            before_id,
            message_id,
            after_id,
            body_start,
            body,
            FRAME_END,
        )
    pieces: list[Piece] = [before_size, _LONG_LONG.pack(body_size), before_id, message_id, after_id]
    view = memoryview(body)
    for start in range(0, body_size, max_content):
        part = view[start : start + max_content]
        pieces += (FRAME_HEAD.pack(BODY_FRAME, CHANNEL, len(part)), part, FRAME_END)
    return tuple(pieces)


@lru_cache(maxsize=_MAX_CACHED_KINDS)
def _encode_recurring_parts(
    exchange: str, routing_key: str, kind: str, headers: tuple[tuple[str, str], ...], id_size: int
) -> tuple[bytes, bytes, bytes]:
    """Encode what the messages of one kind share, if their ids have ``id_size`` bytes.

    Returns:
        The method frame with the start of the header frame, up to the size of the body; what follows up to the
        message id; and what is behind it in the header frame.
    """
    arguments = b"\x00\x00" + _short(exchange) + _short(routing_key) + _MANDATORY
    method = FRAME_HEAD.pack(METHOD_FRAME, CHANNEL, 4 + len(arguments)) + struct.pack(">HH", BASIC, PUBLISH)
    table = b"".join(_short(name) + b"S" + _long_string(value) for name, value in headers)
    before_id = b"%b%b%b%b%b%b" % (
        _PROPERTY_FLAGS,
        _short(CONTENT_TYPE),
        _LONG.pack(len(table)),
        table,
        _PERSISTENT,
        bytes((id_size,)),
    )
    after_id = _short(kind) + _short(APP_ID)
    size = _HEADER_START.size + _LONG_LONG.size + len(before_id) + id_size + len(after_id)
    header = FRAME_HEAD.pack(HEADER_FRAME, CHANNEL, size) + _HEADER_START.pack(BASIC, 0)
    return method + arguments + FRAME_END + header, before_id, after_id + FRAME_END


def _short(text: str) -> bytes:
    """Encode a short string: one byte with its size, then at most 255 bytes."""
    data = text.encode()
    return bytes((len(data),)) + data


def _long_string(text: str) -> bytes:
    """Encode a long string: four bytes with its size, then the text."""
    data = text.encode()
    return _LONG.pack(len(data)) + data
