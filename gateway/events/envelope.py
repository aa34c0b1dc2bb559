"""The envelope: a CloudEvents 1.0 event in JSON around the provider's unchanged bytes.

Specification: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

import orjson

from gateway.adapters.identity import Identity
from gateway.events.redaction import Redaction
from gateway.transport.topic_patterns import key_segment

MAX_ROUTING_KEY = 255
"""Bytes of a routing key and of a CloudEvents ``type``: both are short strings in AMQP, of at most 255 bytes."""

_MAX_CACHED_TYPES = 1024
"""Event types whose names are cached. A provider has far fewer; the limit bounds memory if one makes them up."""


class MessageKind(NamedTuple):
    """What the messages of one event type and source share.

    Attributes:
        routing_key: The routing key.
        type: The CloudEvents ``type``.
        headers: The headers, which must not be changed.
    """

    routing_key: str
    type: str
    headers: dict[str, str]


class Envelope:
    """Encodes the events of one provider.

    Args:
        provider: The provider's key in the configuration.
        adapter: The name of its adapter.
        redaction: Masks values in the data; None to mask nothing.
        is_partly_signed: Whether the data may have unsigned members beside signed ones.
        type_prefix: The beginning of the CloudEvents ``type``; by default ``com.`` and the adapter.
    """

    def __init__(
        self,
        provider: str,
        adapter: str,
        redaction: Redaction | None = None,
        *,
        is_partly_signed: bool = False,
        type_prefix: str | None = None,
    ) -> None:
        self.provider = provider
        self._adapter = adapter
        self._redaction = redaction
        self._type_prefix = type_prefix or f"com.{adapter}"
        self._names: dict[str, tuple[str, tuple[str, str]]] = {}
        self._kinds: dict[tuple[str, str], MessageKind] = {}
        self._source = f"/{provider}"
        constant: dict[str, str | bool] = {"specversion": "1.0", "provider": provider, "adapter": adapter}
        if is_partly_signed:
            constant["partlysigned"] = True
        self._head = orjson.dumps(constant)[:-1] + b","

    def names_of(self, event_type: str) -> tuple[str, str]:
        """Return the routing key and the CloudEvents ``type``, of at most 255 bytes each."""
        return (self._names.get(event_type) or self._spell(event_type))[1]

    def word_of(self, event_type: str) -> str:
        """Return the event type as routing keys, logs and metrics spell it."""
        return (self._names.get(event_type) or self._spell(event_type))[0]

    def _spell(self, event_type: str) -> tuple[str, tuple[str, str]]:
        segment = key_segment(event_type)
        routing_key = _cut(f"{self.provider}.{segment}")
        word = routing_key[len(self.provider) + 1 :]
        if len(self._names) >= _MAX_CACHED_TYPES:
            self._names.clear()
        self._names[event_type] = names = word, (routing_key, _cut(f"{self._type_prefix}.{segment}"))
        return names

    def kind_of(self, event_type: str, source: str) -> MessageKind:
        """Return what the messages of an event type and a CloudEvents ``source`` share."""
        kind = self._kinds.get((event_type, source))
        if kind is None:
            if len(self._kinds) >= _MAX_CACHED_TYPES:
                self._kinds.clear()
            headers = {
                "provider": self.provider,
                "adapter": self._adapter,
                "eventtype": event_type,
                "source": source,
            }
            kind = self._kinds[event_type, source] = MessageKind(*self.names_of(event_type), headers)
        return kind

    def source_of(self, identity: Identity) -> str:
        """Return the CloudEvents ``source``: the provider's own, or else its key and the account."""
        if identity.source:
            return _uri(identity.source)
        if identity.account:
            return f"{self._source}/{quote(identity.account, safe='')}"
        return self._source

    def encode(
        self,
        identity: Identity,
        event_id: str,
        source: str,
        kind: str,
        data: bytes,
        *,
        received_at: str,
        secret_slot: int,
        is_claimed: bool,
        is_replay_suspected: bool = False,
        dedupe_key: str | None = None,
        schema_id: str | None,
        traceparent: str | None,
        media_type: str | None = None,
    ) -> bytes:
        """Encode one event as JSON.

        Args:
            identity: What the adapter found in the request.
            event_id: The CloudEvents ``id``.
            source: The CloudEvents ``source``, as of :meth:`source_of`.
            kind: The CloudEvents ``type``, as of :meth:`names_of`.
            data: Verified JSON, which is embedded byte for byte unless values are masked. With a ``media_type`` it is
                anything else, and is embedded as base64.
            received_at: When the request was received, in RFC 3339.
            secret_slot: The position of the secret that verified the request, from 0.
            is_claimed: Whether the event was claimed before it is published; False if the deduplication store was unavailable.
            is_replay_suspected: Whether the signed bytes were seen before under another id.
            dedupe_key: Distinguishes events that share an id; None if the id is enough.
            schema_id: The schema that the event passed, if any.
            traceparent: The W3C trace context, if any.
            media_type: None for JSON, or the media type of ``data``; empty if there is no data.
        """
        is_redacted = False
        if self._redaction and media_type is None:
            data, is_redacted = self._redaction.encode(data)
        attributes: dict[str, str | bool] = {
            "id": event_id,
            "source": source,
            "type": kind,
            "eventtype": identity.event_type,
            "receivedat": received_at,
            "secretslot": str(secret_slot),
            "dedupe": "claimed" if is_claimed else "unchecked",
        }
        _add_known(attributes, identity)
        if schema_id is not None:
            attributes["dataschema"] = schema_id
        if dedupe_key is not None:
            attributes["dedupekey"] = dedupe_key
        if traceparent is not None:
            attributes["traceparent"] = traceparent
        if is_redacted:
            attributes["redacted"] = True
        if is_replay_suspected:
            attributes["replaysuspected"] = True
        if media_type is None:
            return b"".join((self._head, orjson.dumps(attributes)[1:-1], _JSON_DATA, data, b"}"))
        if not media_type:
            return self._head + orjson.dumps(attributes)[1:]
        attributes["datacontenttype"] = media_type
        return b"".join(
            (self._head, orjson.dumps(attributes)[1:-1], b',"data_base64":"', b64encode(data), b'"}')
        )


def _add_known(attributes: dict[str, str | bool], identity: Identity) -> None:
    """Add what the adapter found. A loop over the names would cost as much as writing the event."""
    if identity.time is not None:
        attributes["time"] = identity.time
    if identity.subject is not None:
        attributes["subject"] = identity.subject
    if identity.delivery_id is not None:
        attributes["deliveryid"] = identity.delivery_id
    if identity.account is not None:
        attributes["account"] = identity.account
    if identity.actor is not None:
        attributes["actor"] = identity.actor
    if identity.summary is not None:
        attributes["summary"] = identity.summary


def _cut(name: str) -> str:
    return name[:MAX_ROUTING_KEY].rstrip(".")


@lru_cache(1024)
def _uri(text: str) -> str:
    """Return a URI with its odd characters escaped. Many events come from few sources."""
    return quote(text, safe=_URI_SAFE)


_URI_SAFE = "!#$%&'()*+,/:;=?@[]~"
_JSON_DATA = b',"datacontenttype":"application/json","data":'
