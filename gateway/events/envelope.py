"""The envelope: one CloudEvents 1.0 event in JSON, around the sender's bytes as they came.

Specification: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

import orjson

from gateway.adapters.identity import Identity
from gateway.events.redaction import Redaction
from gateway.transport.topic_patterns import key_segment

MAX_ROUTING_KEY = 255
"""Bytes of a routing key, and of a CloudEvents ``type``: both are short strings of AMQP."""

_REMEMBERED_TYPES = 1024  # senders have a few event types, but could make up any number


class Envelope:
    """Makes the events of one provider.

    Args:
        provider: its key in the configuration.
        adapter: the name of its adapter.
        redaction: what is masked in them, if anything.
        is_partly_signed: whether their data may hold members that nobody has signed beside those that are signed.
    """

    def __init__(
        self,
        provider: str,
        adapter: str,
        redaction: Redaction | None = None,
        *,
        is_partly_signed: bool = False,
    ) -> None:
        self.provider = provider
        self._redaction = redaction
        self._adapter = adapter
        self._names: dict[str, tuple[str, str]] = {}
        self._source = f"/{provider}"
        self._constant: dict[str, str | bool] = {"provider": provider, "adapter": adapter}
        if is_partly_signed:
            self._constant["partlysigned"] = True

    def names_of(self, event_type: str) -> tuple[str, str]:
        """The routing key, ``<provider>.<event type>`` in at most 255 bytes, and the CloudEvents ``type``."""
        names = self._names.get(event_type)
        if names is None:
            segment = key_segment(event_type)
            names = _cut(f"{self.provider}.{segment}"), _cut(f"com.{self._adapter}.{segment}")
            if len(self._names) >= _REMEMBERED_TYPES:
                self._names.clear()
            self._names[event_type] = names
        return names

    def word_of(self, event_type: str) -> str:
        """The event type as it is spelt in routing keys and in all that people read."""
        routing_key, _ = self.names_of(event_type)
        return routing_key[len(self.provider) + 1 :]

    def source_of(self, identity: Identity) -> str:
        """The CloudEvents ``source``: the provider's own convention, else its key and the account."""
        if identity.source:
            return quote(identity.source, safe=_URI_SAFE)
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
        """The event, of CloudEvents type ``kind``.

        ``data`` is verified JSON and goes in byte for byte, unless values in it are masked; with a ``media_type`` it
        is anything else and goes in as base64; with an empty one there is none. ``dedupe_key`` tells the event from
        others of its id, where there can be some.
        """
        is_redacted = False
        if self._redaction and media_type is None:
            data, is_redacted = self._redaction.encode(data)
        attributes: dict[str, str | bool] = {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": kind,
            **self._constant,
            "eventtype": identity.event_type,
            "receivedat": received_at,
            "secretslot": str(secret_slot),
            "dedupe": "claimed" if is_claimed else "unchecked",
        }
        optional: dict[str, str | bool | None] = {
            "time": identity.time,
            "subject": identity.subject,
            "dataschema": schema_id,
            "deliveryid": identity.delivery_id,
            "account": identity.account,
            "actor": identity.actor,
            "summary": identity.summary,
            "redacted": True if is_redacted else None,
            "replaysuspected": True if is_replay_suspected else None,
            "dedupekey": dedupe_key,
            "traceparent": traceparent,
        }
        attributes.update((name, value) for name, value in optional.items() if value is not None)
        if media_type is None:
            attributes["datacontenttype"] = "application/json"
            return b'%b,"data":%b}' % (orjson.dumps(attributes)[:-1], data)
        if not media_type:
            return orjson.dumps(attributes)
        attributes["datacontenttype"] = media_type
        return b'%b,"data_base64":"%b"}' % (orjson.dumps(attributes)[:-1], b64encode(data))


def _cut(name: str) -> str:
    return name[:MAX_ROUTING_KEY].rstrip(".")


_URI_SAFE = "!#$%&'()*+,/:;=?@[]~"
