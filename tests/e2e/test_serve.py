"""`gateway serve` with real servers: real deliveries arrive as the contract says."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cloudevents.core.formats.json import JSONFormat

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Arrival, Inbox
from support.senders import Delivery, corpus_deliveries, post

STANDARD = b'{"type":"user.created","timestamp":"2025-01-15T12:00:00Z","data":{"id":"usr_1"}}'
OPENAI = (
    b'{"id":"evt_1","object":"event","created_at":1736942400,"type":"response.completed","data":{"id":"r1"}}'
)
PING = b'{"zen":"Keep it logically awesome.","hook_id":42,"hook":{"id":42,"type":"Repository"}}'
MAKERS: dict[str, Callable[[Secrets], Delivery]] = {
    "acme": lambda secrets: senders.acme(secrets.acme, senders.order()),
    "partner": lambda secrets: senders.standard("partner", secrets.partner, STANDARD),
    "openai": lambda secrets: senders.standard("openai", secrets.openai, OPENAI),
    "svix": lambda secrets: senders.by_svix(secrets.svix, STANDARD),
    "stripe": lambda secrets: senders.stripe(secrets.stripe, senders.stripe_event()),
    "github": lambda secrets: senders.github(secrets.github, PING, "ping", str(uuid.uuid4())),
}
ADAPTERS = {"acme": "hmac", "partner": "standard_webhooks"}
PREFIXES = {"acme": "acme"}  # an adapter of one's own has no name of its own in the type
by_every_sender = pytest.mark.parametrize("provider", MAKERS)


@pytest.fixture(scope="module")
def gateway(
    module_folder: Path, module_secrets: Secrets, module_redis_url: str, module_rabbitmq_url: str
) -> Iterator[GatewayProcess]:
    """One gateway on real servers for all tests here."""
    process = GatewayProcess(
        module_folder, module_secrets, redis_url=module_redis_url, rabbitmq_url=module_rabbitmq_url
    )
    with process:
        yield process


@pytest.fixture(scope="module")
def bound_inbox(gateway: GatewayProcess, module_rabbitmq_url: str) -> Inbox:
    """A queue for all events."""
    return Inbox(module_rabbitmq_url)


@pytest.fixture
def inbox(bound_inbox: Inbox) -> Inbox:
    """The queue for all events, empty."""
    bound_inbox.take_all()
    return bound_inbox


def answer_of(response: httpx.Response) -> tuple[int, str]:
    """Status and word of an answer."""
    content = response.json()
    return response.status_code, content.get("reason", content["status"])


def expect_contract(arrival: Arrival, delivery: Delivery) -> None:
    """Compare one message with what was sent: properties, envelope, data."""
    adapter = ADAPTERS.get(delivery.provider, delivery.provider)
    segment = re.sub("[^A-Za-z0-9_.-]", ".", delivery.event_type)
    event = arrival.event
    assert arrival.routing_key == f"{delivery.provider}.{segment}"
    assert (arrival.message_id, event["id"]) == (delivery.event_id, delivery.event_id)
    assert (arrival.type, event["type"]) == (f"com.{PREFIXES.get(delivery.provider, adapter)}.{segment}",) * 2
    assert arrival.content_type == "application/cloudevents+json"
    assert arrival.app_id == "webhook-gateway"
    assert arrival.is_persistent
    assert arrival.headers == {
        "provider": delivery.provider,
        "adapter": adapter,
        "eventtype": delivery.event_type,
        "source": event["source"],
    }
    assert event["specversion"] == "1.0"
    assert event["datacontenttype"] == "application/json"
    assert {name: event[name] for name in ("provider", "adapter", "eventtype")} == {
        name: arrival.headers[name] for name in ("provider", "adapter", "eventtype")
    }
    assert (event["secretslot"], event["dedupe"]) == ("0", "claimed")
    assert arrival.data == delivery.body
    assert event["data"] == json.loads(delivery.body)
    assert all(type(value) in {str, bool} for name, value in event.items() if name != "data")


@pytest.mark.parametrize("folder", ["stripe", "github", "github-captures"])
def test_every_real_delivery_is_accepted_and_arrives_once_as_it_was_sent(
    gateway: GatewayProcess, inbox: Inbox, corpus: Path, folder: str
) -> None:
    """Signed by Stripe's own code and as GitHub documents it; none is quarantined, none is changed by a byte."""
    secret = gateway.secrets.stripe if folder == "stripe" else gateway.secrets.github
    deliveries = corpus_deliveries(corpus, folder, secret)

    with httpx.Client(trust_env=False) as client:
        answers = [answer_of(post(gateway.url, delivery, client)) for delivery in deliveries]

    assert answers == [(202, "accepted")] * len(deliveries)
    arrivals = {arrival.message_id: arrival for arrival in inbox.take_all()}
    assert len(arrivals) == len(deliveries) > 50
    for delivery in deliveries:
        expect_contract(arrivals[delivery.event_id], delivery)


@by_every_sender
def test_an_event_of_every_sender_arrives_and_its_repetition_is_a_duplicate(
    gateway: GatewayProcess, inbox: Inbox, provider: str
) -> None:
    """Signed by the sender's own library where it has one; the second time 200, and nothing is published."""
    delivery = MAKERS[provider](gateway.secrets)

    first, second = (post(gateway.url, delivery) for _ in range(2))

    assert (first.status_code, first.json()) == (202, {"status": "accepted", "id": delivery.event_id})
    assert (second.status_code, second.json()) == (200, {"status": "duplicate", "id": delivery.event_id})
    (arrival,) = inbox.take_all()
    expect_contract(arrival, delivery)
    assert JSONFormat().read(None, arrival.body).get_id() == delivery.event_id


@by_every_sender
def test_a_tampered_event_is_refused_and_leaves_no_trace(
    gateway: GatewayProcess, inbox: Inbox, provider: str
) -> None:
    """401 without an id, nothing published, nothing claimed: the genuine one is accepted afterwards."""
    delivery = MAKERS[provider](gateway.secrets)

    refused = post(gateway.url, delivery.tampered())

    assert (refused.status_code, refused.json()) == (
        401,
        {"status": "rejected", "reason": "invalid_signature"},
    )
    assert inbox.take_all() == []
    assert answer_of(post(gateway.url, delivery)) == (202, "accepted")


def test_a_signature_with_another_senders_secret_is_refused(gateway: GatewayProcess, inbox: Inbox) -> None:
    """Each provider has secrets of its own."""
    delivery = senders.stripe(gateway.secrets.github, senders.stripe_event())
    assert answer_of(post(gateway.url, delivery)) == (401, "invalid_signature")
    assert inbox.take_all() == []


def test_an_event_against_its_schema_is_accepted_into_the_quarantine(
    gateway: GatewayProcess, inbox: Inbox, module_rabbitmq_url: str
) -> None:
    """With the paths of what is wrong in a header, and none of the values; its repetition is a duplicate."""
    quarantine = Inbox(module_rabbitmq_url, "webhooks.quarantine", pattern=None)
    delivery = senders.stripe(
        gateway.secrets.stripe,
        senders.stripe_event(created="on-a-private-day", data={"object": "a-private-value"}),
    )

    response, repeated = (post(gateway.url, delivery) for _ in range(2))

    assert (response.status_code, response.json()) == (
        202,
        {"status": "quarantined", "id": delivery.event_id},
    )
    assert answer_of(repeated) == (200, "duplicate")
    assert inbox.take_all() == []
    (arrival,) = quarantine.take_all()
    violations = str(arrival.headers["violations"])
    assert "/created" in violations
    assert "/data/object" in violations
    assert "private" not in violations
    assert arrival.routing_key == "stripe.payout.paid"
    assert arrival.message_id == delivery.event_id
    assert arrival.data == delivery.body
    assert "dataschema" not in arrival.event


def test_an_event_that_nobody_is_bound_for_waits_in_the_unrouted_queue(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str
) -> None:
    """Accepted, and kept; events that a queue is bound for do not go there."""
    with GatewayProcess(tmp_path, fresh_secrets, redis_url=redis_url, rabbitmq_url=rabbitmq_url) as gateway:
        inbox = Inbox(rabbitmq_url, pattern="stripe.payout.*")
        bound = senders.stripe(fresh_secrets.stripe, senders.stripe_event("payout.paid"))
        unbound = senders.stripe(fresh_secrets.stripe, senders.stripe_event("never.heard.of"))

        answers = [answer_of(post(gateway.url, delivery)) for delivery in (bound, unbound)]

        assert answers == [(202, "accepted")] * 2
        (arrival,) = inbox.take_all()
        assert arrival.message_id == bound.event_id
        (unrouted,) = Inbox(rabbitmq_url, "webhooks.unrouted", pattern=None).take_all()
        expect_contract(unrouted, unbound)
