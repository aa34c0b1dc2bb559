"""The frames of a publish: a reference implementation reads what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import commands, frame

from gateway.events.message import Message
from gateway.publishers.amqp_frames import FRAME_OVERHEAD, encode_publish

MAX_CONTENT = 131_072 - FRAME_OVERHEAD


def encoded(message: Message) -> bytes:
    """Return the bytes that publish ``message``."""
    return b"".join(encode_publish(message, MAX_CONTENT))


def short_texts(least: int = 0) -> st.SearchStrategy[str]:
    """Texts of up to 255 bytes of UTF-8."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=255)
    return anything.filter(lambda text: len(text.encode()) <= 255)


def frames_of(data: bytes) -> list[Any]:
    """What a reference implementation reads in ``data``."""
    frames = []
    while data:
        size, _, value = frame.unmarshal(data)
        frames.append(value)
        data = data[size:]
    return frames


@given(
    exchange=short_texts(),
    routing_key=short_texts(),
    message_id=short_texts(1),
    kind=short_texts(1),
    headers=st.dictionaries(short_texts(1), short_texts(), max_size=6),
    body=st.binary(max_size=300),
)
@settings(max_examples=150, deadline=None)
def test_any_event_is_encoded_as_the_specification_has_it(
    exchange: str, routing_key: str, message_id: str, kind: str, headers: dict[str, str], body: bytes
) -> None:
    """A reference implementation reads every text back as it was: no event can break the connection."""
    sent = Message(exchange, routing_key, message_id, kind, headers, body)
    publish, head, *parts = frames_of(encoded(sent))

    assert isinstance(publish, commands.Basic.Publish)
    assert (publish.exchange, publish.routing_key) == (exchange, routing_key)
    assert (publish.mandatory, publish.immediate) == (True, False)
    properties = head.properties
    assert (properties.message_id, properties.message_type, properties.headers) == (message_id, kind, headers)
    assert (properties.content_type, properties.app_id) == ("application/cloudevents+json", "webhook-gateway")
    assert properties.delivery_mode == 2
    assert head.body_size == len(body)
    assert b"".join(part.value for part in parts) == body


@pytest.mark.parametrize(
    ("size", "frames"), [(0, 0), (1, 1), (131_064, 1), (131_065, 2), (262_128, 2), (262_129, 3)]
)
def test_a_body_is_split_at_the_largest_frame(size: int, frames: int) -> None:
    """131,072 bytes a frame, of which eight are the frame's own; an empty body has no frame at all."""
    body = bytes(range(251)) * (size // 251) + bytes(size % 251)
    sent = Message("webhooks", "github.push", "id-1", "com.github.push", {}, body)
    _, head, *parts = frames_of(encoded(sent))

    assert head.body_size == size
    assert len(parts) == frames
    assert b"".join(part.value for part in parts) == body
