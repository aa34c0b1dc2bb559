"""Events as the gateway publishes them: the Stripe event that is sent to it, in its envelope, each with an id of its own."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from bench import samples
from gateway.events.envelope import Envelope
from gateway.events.message import Message
from support.agents import EXCHANGE
from support.deliveries import NOW, delivered


def messages(provider: str, count: int) -> Iterator[Message]:
    """``count`` messages for the workers of ``provider``, which begins their routing keys."""
    sent = delivered("stripe", samples.TEMPLATE.stem)
    adapter = sent.bind()
    request = adapter.verify(sent.raw(), NOW)
    for body in samples.bodies(samples.TEMPLATE.read_bytes(), count):
        identity = adapter.identify(request, orjson.loads(body))
        envelope = Envelope(provider, "stripe")
        assert identity.event_id
        routing_key, kind = envelope.names_of(identity.event_type)
        source = envelope.source_of(identity)
        yield Message(
            EXCHANGE,
            routing_key,
            identity.event_id,
            kind,
            {"provider": provider, "adapter": "stripe", "eventtype": identity.event_type, "source": source},
            envelope.encode(
                identity,
                identity.event_id,
                source,
                kind,
                body,
                received_at="2026-09-21T14:13:20.123Z",
                secret_slot=0,
                is_claimed=True,
                schema_id=None,
                traceparent=None,
            ),
        )
