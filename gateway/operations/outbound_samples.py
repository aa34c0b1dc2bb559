"""The events of tests and of verification: samples of providers, and events that nobody else makes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import orjson

from gateway.config import Config
from gateway.config.resolve import adapter_of
from gateway.devtools.samples import load_sample, sample_names
from gateway.operations.outbound import Refused, new_id
from gateway.operations.plain import iso
from gateway.outbound.ids import message_id
from gateway.outbound.models import Endpoint, Format, OutboundMessage
from gateway.transport.topic_patterns import key_segment, matches

TEST = "gateway.test"
"""The type of a test event, unless a sample is wanted."""

VERIFICATION = "gateway.endpoint.verification"
"""The type of the event with a challenge."""

_SOURCE = "/gateway"


def make_test(config: Config, endpoint: Endpoint, event_type: str, now: float) -> OutboundMessage:
    """Return the message of a test event. It is kept nowhere.

    Args:
        config: The configuration.
        endpoint: The endpoint.
        event_type: `<provider>.<event type>` of a sample, or any other type; empty for what the endpoint wants.
        now: The time, in Unix seconds.

    Raises:
        Refused: The endpoint takes the provider's own requests, and there is no sample of the type.
    """
    if not event_type:
        event_type = next(
            _wanted_samples(config, endpoint), "" if endpoint.format is Format.ORIGINAL else TEST
        )
    provider, _, own = event_type.partition(".")
    if provider in config.providers and own:
        return _sample(config, endpoint, provider, own, now)
    if endpoint.format is Format.ORIGINAL:
        raise Refused("invalid_body", "type: name a sample of a provider, such as stripe.invoice.paid")
    data = {"test": True, "endpoint": endpoint.id}
    if event_type.startswith("agent."):
        data = {"run_id": new_id("run_test", now), "status": event_type.rpartition(".")[2], "test": True}
    return _message(endpoint, event_type, event_type, data, now)


def make_challenge(endpoint: Endpoint, challenge: str, now: float) -> OutboundMessage:
    """Return the message with a challenge that the endpoint has to answer with `{"challenge": …}`."""
    return _message(endpoint, VERIFICATION, VERIFICATION, {"challenge": challenge}, now)


def _message(endpoint: Endpoint, key: str, kind: str, data: object, now: float) -> OutboundMessage:
    event_id = new_id("evt_test", now)
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": _SOURCE,
        "type": kind,
        "time": iso(now),
        "datacontenttype": "application/json",
        "tenant": endpoint.tenant,
        "test": True,
        "data": data,
    }
    return OutboundMessage(
        id=message_id(endpoint.tenant, _SOURCE, event_id),
        tenant=endpoint.tenant,
        key=key,
        event_id=event_id,
        source=_SOURCE,
        type=kind,
        accepted_at=now,
        body=orjson.dumps(event),
    )


def _sample(config: Config, endpoint: Endpoint, provider: str, own: str, now: float) -> OutboundMessage:
    """Return the sample of a provider as the gateway would have published it."""
    adapter = adapter_of(config.providers[provider])
    sample = load_sample(adapter, own)
    event_id, source = new_id("evt_test", now), f"/{provider}"
    segment = key_segment(sample.event_type)
    event: dict[str, object] = {
        "specversion": "1.0",
        "provider": provider,
        "adapter": adapter.name,
        "id": event_id,
        "source": source,
        "type": f"com.{adapter.name}.{segment}",
        "eventtype": sample.event_type,
        "receivedat": iso(now),
        "test": True,
        "datacontenttype": sample.media_type or "application/octet-stream",
    }
    head = orjson.dumps(event)[:-1]
    if sample.body_format == "json":
        body = head + b',"data":' + sample.body.strip() + b"}"
    else:
        body = head + b',"data_base64":"' + b64encode(sample.body) + b'"}'
    return OutboundMessage(
        id=message_id(endpoint.tenant, source, event_id),
        tenant=endpoint.tenant,
        key=f"{provider}.{segment}",
        event_id=event_id,
        source=source,
        type=str(event["type"]),
        provider=provider,
        accepted_at=now,
        body=body,
    )


def _wanted_samples(config: Config, endpoint: Endpoint) -> Iterator[str]:
    """Yield the samples that an endpoint wants, by the keys of its subscriptions."""
    patterns = [pattern for each in endpoint.subscriptions for pattern in each.events]
    for provider, configured in config.providers.items():
        for own in sample_names(adapter_of(configured)):
            key = f"{provider}.{key_segment(own)}"
            if any(matches(pattern, key) for pattern in patterns):
                yield f"{provider}.{own}"
