"""Read a CloudEvent as it came, without writing it anew: its bytes are those of every attempt.

Specification: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import re

import msgspec
import orjson

from gateway.transport.topic_patterns import key_segment

MAX_AGENT_EVENT = 64 * 1024
"""Bytes of an event that an agent emits. What is larger belongs behind a link."""

MAX_TYPE = 128
"""Characters of an agent's event type."""

_MAX_TEXT = 1024
"""Characters of an id, a source or a subject."""

_MAX_KEY = 255
"""Bytes of a routing key, a short string in AMQP."""

_TENANT = re.compile(r"[a-z0-9-]{1,48}")
_BEGINNING = b'{"specversion":"1.0",'


class NotAnEvent(ValueError):
    """Raised for a body that cannot be delivered as an event; the text says why, and quotes nothing of it."""


class ReadEvent(msgspec.Struct, frozen=True):
    """What the way out needs to know of an event.

    Attributes:
        id: The CloudEvents `id`.
        source: The CloudEvents `source`.
        type: The CloudEvents `type`.
        subject: The CloudEvents `subject`; None if it has none.
        tenant: The extension `tenant`.
        provider: The extension `provider` of the gateway's own events; empty for an event of an agent.
        sequence: The extension `sequence`; None if it has none.
        traceparent: The extension `traceparent`; None if it has none.
        specversion: The version of CloudEvents; empty if the event does not say.
        data: The bytes of `data`; empty if it has none.
        data_base64: The bytes of `data_base64`; empty if it has none.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    tenant: str = "default"
    provider: str = ""
    sequence: str | None = None
    traceparent: str | None = None
    specversion: str = ""
    data: msgspec.Raw = msgspec.Raw()
    data_base64: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(ReadEvent).decode


def read_event(body: bytes) -> ReadEvent:
    """Read an event.

    Raises:
        NotAnEvent: It is none.
    """
    try:
        event = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEvent(f"is no CloudEvent: {error}") from None
    for name in ("id", "source", "type"):
        if not 0 < len(getattr(event, name)) <= _MAX_TEXT:
            raise NotAnEvent(f"/{name}: must have 1 to {_MAX_TEXT} characters")
    if len(event.subject or "") > _MAX_TEXT:
        raise NotAnEvent(f"/subject: must not have more than {_MAX_TEXT} characters")
    if event.specversion not in {"", "1.0"}:
        raise NotAnEvent("/specversion: must be 1.0")
    if not event.data and not event.data_base64:
        raise NotAnEvent("/data: is missing")
    if not _TENANT.fullmatch(event.tenant):
        raise NotAnEvent("/tenant: must be 1 to 48 lower-case letters, digits and hyphens")
    return event


def read_agent_event(body: bytes) -> tuple[ReadEvent, bytes]:
    """Read an event of an agent; return it with the bytes to deliver, which have a `specversion`.

    Raises:
        NotAnEvent: It is none, or too large.
    """
    if len(body) > MAX_AGENT_EVENT:
        raise NotAnEvent(f"is larger than {MAX_AGENT_EVENT // 1024} KiB; send a link to what is large")
    event = read_event(body)
    if len(event.type) > MAX_TYPE:
        raise NotAnEvent(f"/type: must not have more than {MAX_TYPE} characters")
    try:
        orjson.loads(body)  # what no receiver could read is told to the agent, not to the receiver
    except orjson.JSONDecodeError:
        raise NotAnEvent("is no JSON that every reader takes") from None
    if event.provider:
        raise NotAnEvent("/provider: is for the gateway's own events")
    return event, body if event.specversion else _BEGINNING + body.lstrip()[1:]


def key_of(event: ReadEvent) -> str:
    """Return the routing key of an agent's event that came without one: the end of its source, and its type."""
    agent = event.source.rstrip("/").rpartition("/")[2]
    return f"{key_segment(agent).replace('.', '-')}.{key_segment(event.type)}"[:_MAX_KEY].rstrip(".")
