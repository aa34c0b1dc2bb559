"""The installed program pushes events to applications: embedded, and with RabbitMQ and PostgreSQL.

The receivers verify with the libraries of Standard Webhooks and of Stripe.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import stripe
from standardwebhooks import Webhook

from gateway.hosting.outbound.launch import MODULE
from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.process import descendants, is_companion
from support.receivers import Received, Receiver, hang, respond
from support.senders import post
from support.waiting import wait_until

STANDARD_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
STRIPE_SECRET = "whsec_of-the-application-0123456789"

Start = Callable[[Mapping[str, Receiver], Mapping[str, Mapping[str, Any]]], GatewayProcess]


@pytest.fixture(params=["embedded", "servers"])
def start(request: pytest.FixtureRequest, tmp_path: Path, fresh_secrets: Secrets) -> Iterator[Start]:
    """Starts a gateway whose endpoints are these receivers, with these settings."""
    with ExitStack() as stack:

        def begin(
            receivers: Mapping[str, Receiver], settings: Mapping[str, Mapping[str, Any]]
        ) -> GatewayProcess:
            overrides: dict[str, Any] = {
                "endpoints": {
                    name: {
                        "url": receiver.url,
                        "events": ["stripe.#"],
                        "secrets": [STANDARD_SECRET],
                        "allow_private": True,
                        **settings.get(name, {}),
                    }
                    for name, receiver in receivers.items()
                },
                "outbound": {"allow_http": True},
            }
            urls = {}
            if request.param == "servers":
                urls = {
                    "redis_url": request.getfixturevalue("redis_url"),
                    "rabbitmq_url": request.getfixturevalue("rabbitmq_url"),
                }
                overrides["postgres"] = {"url": request.getfixturevalue("postgres_url")}
                overrides["outbound"]["keys"] = [base64.b64encode(secrets.token_bytes(32)).decode()]
            gateway = GatewayProcess(tmp_path, fresh_secrets, overrides=overrides, **urls)
            stack.enter_context(gateway)
            gateway.wait_for('"event":"taking events"')
            return gateway

        yield begin


def send(gateway: GatewayProcess, number: int = 0) -> dict[str, Any]:
    """Send a signed event of Stripe; return its body."""
    body = json.dumps({**json.loads(senders.stripe_event()), "number": number}).encode()
    answer = post(gateway.url, senders.stripe(gateway.secrets.stripe, body))
    assert answer.status_code in (200, 202), answer.text
    event: dict[str, Any] = json.loads(body)
    return event


def ids_of(requests: list[Received]) -> list[str]:
    """Return the provider's ids of the events that arrived."""
    return [json.loads(each.body)["data"]["id"] for each in requests]


def test_an_event_arrives_signed_as_standard_webhooks_says(start: Start) -> None:
    """With the provider's JSON in it, and in one timeline with its receipt."""
    with Receiver() as receiver:
        gateway = start({"billing": receiver}, {})
        sent = send(gateway)
        (request,) = receiver.wait_for(1)
        event = Webhook(STANDARD_SECRET).verify(request.body, request.headers)
        assert event["data"] == sent
        assert event["type"] == "com.stripe.payout.paid"
        assert request.headers["content-type"].startswith("application/json")
        gateway.wait_for('"event":"delivered"')
        wait_until(
            lambda: "billing took it at the" in gateway.run("events", "show", sent["id"]).stdout,
            message="the timeline has the delivery",
        )
        metrics = gateway.get("/metrics", admin=True).text
        assert 'outbound_delivered_total{tenant="default"} 1.0' in metrics
        assert 'outbound_accepted_total{tenant="default"} 1.0' in metrics
        assert STANDARD_SECRET not in gateway.stdout + gateway.stderr
        assert "token=t" not in gateway.stdout
        assert gateway.stop() == 0


def test_an_application_that_verifies_with_stripe_s_library_works_unchanged(start: Start) -> None:
    """It has a secret of its own, and gets what Stripe sent."""
    with Receiver() as receiver:
        gateway = start({"shop": receiver}, {"shop": {"format": "original", "secrets": [STRIPE_SECRET]}})
        sent = send(gateway)
        (request,) = receiver.wait_for(1)
        event = stripe.Webhook.construct_event(
            request.body, request.headers["stripe-signature"], STRIPE_SECRET
        )
        assert event["id"] == sent["id"]
        assert json.loads(request.body) == sent


def test_a_receiver_that_is_away_for_a_moment_gets_everything(start: Start) -> None:
    """After as long as it asked for, with the same id and the same bytes, signed anew."""
    with Receiver(respond(503, fields={"Retry-After": "1"}), respond(200)) as receiver:
        gateway = start({"billing": receiver}, {})
        send(gateway)
        first, second = receiver.wait_for(2)
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        Webhook(STANDARD_SECRET).verify(second.body, second.headers)
        assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])


def test_a_receiver_that_hangs_costs_others_nothing(start: Start) -> None:
    """They get theirs while it still has not answered."""
    with Receiver(hang) as hanging, Receiver() as healthy:
        gateway = start({"hanging": hanging, "healthy": healthy}, {"hanging": {"timeout": "30s"}})
        sent = [send(gateway, number)["id"] for number in range(20)]
        requests = healthy.wait_for(20)
        assert sorted(ids_of(requests)) == sorted(sent)
        assert len(hanging.requests) <= 1


def test_nothing_is_lost_with_a_process_that_is_killed(start: Start) -> None:
    """It is replaced, and its successor sends what was not recorded, with the same ids."""
    with Receiver(respond(503)) as receiver:
        gateway = start({"billing": receiver}, {})
        sent = [send(gateway, number)["id"] for number in range(10)]
        receiver.wait_for(1)
        for _ in range(2):
            kill_way_out(gateway)
            sent += [send(gateway, number)["id"] for number in range(10)]
            gateway.wait_for('"event":"process replaced"')
        receiver.behave(respond(200))
        wait_until(
            lambda: set(ids_of(list(receiver.requests))) >= set(sent),
            message="everything arrived",
        )
        by_event: dict[str, set[str]] = {}
        for each in receiver.requests:
            by_event.setdefault(ids_of([each])[0], set()).add(each.headers["webhook-id"])
        assert all(len(found) == 1 for found in by_event.values())


def kill_way_out(gateway: GatewayProcess) -> None:
    """Kill the process of the way out as the system would when it runs out of memory."""
    found = wait_until(
        lambda: [pid for pid in descendants(gateway.child.pid) if is_companion(pid, MODULE)],
        message="it runs",
    )
    os.kill(found[0], signal.SIGKILL)
